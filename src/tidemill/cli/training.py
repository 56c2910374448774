"""One training as commands show it: live while it runs, plain values for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tidemill.project.layout import Layout
    from tidemill.project.training import Trained


def train_shown(layout: Layout, settings: list[str], because: str | None, *, parent: str = "") -> Trained:
    """Train with a display on standard error; `parent` is the run it is shown under."""
    from tidemill.cli.progress import training_display
    from tidemill.config.effect import without_effect
    from tidemill.project import configuration, training

    config = configuration.config(layout, settings)
    for note in without_effect(config, settings, layout.conf):
        click.secho(f"note: {note}", fg="yellow", err=True)
    title = f"{config.name} · {config.model.kind} · data {config.data.name} {config.data.version} · seed {config.seed}"
    try:
        with training_display(title) as report:
            return training.train(layout, settings, report=report, decision=because, parent=parent)
    except KeyboardInterrupt:
        click.echo("to go on with it:  tidemill train --resume", err=True)
        raise


def resume_shown(layout: Layout, run: str, *, anyway: bool) -> Trained:
    """Go on with `run`, or with the newest that was killed, with a display on standard error."""
    from tidemill.cli.progress import training_display
    from tidemill.project import resuming

    record = resuming.chosen(layout, run)
    others = [each.run for each in resuming.resumable(layout) if each.run != record.run]
    if others and not run:
        click.echo(
            f"the newest of {len(others) + 1} runs that were not finished; others: {', '.join(others)}", err=True
        )
    spec = record.spec
    title = f"{spec.model} · {spec.config['model']['kind']} · data {spec.dataset} · run {record.run[:8]} goes on"
    with training_display(title, goes_on=record.run) as report:
        return resuming.resume(layout, record.run, report=report, anyway=anyway)


def plain(trained: Trained) -> dict[str, Any]:
    """What `--json` answers."""
    registered = trained.registered
    return {
        "model": trained.run.spec.model,
        "version": None if registered is None else registered[0].number,
        "run": trained.run.id,
        "dataset": trained.run.spec.dataset,
        "bundle": None if registered is None else str(registered[1]),
        **({"not_registered": trained.refusal} if trained.refusal else {}),
        "metrics": trained.evaluation.metrics,
        "per_class": trained.evaluation.per_class,
        "trainable_params": int(trained.run.metrics["trainable_params"]),
    }
