"""Train a model, evaluate it, export it, and register it as challenger.

SETTINGS are  group=choice  (model=resnet18) or  a.b=value  (trainer.max_epochs=10); --help-config lists them all.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tidemill.cli.options import json_option, print_json

if TYPE_CHECKING:
    from tidemill.project.layout import Layout
    from tidemill.project.training import Trained


@click.command(
    epilog="Example: tidemill train model=resnet18 trainer.max_epochs=10;  a grid: tidemill train -m seed=1,2,3",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("settings", nargs=-1, type=click.UNPROCESSED)
@click.option("-m", "--multirun", is_flag=True, help="Train every combination: lists a,b, range(), choice(), glob().")
@click.option("--because", metavar="DECISION", help="The id of the retrain decision that asks for this training.")
@click.option("--help-config", is_flag=True, help="List all settings with type, default and meaning, and end.")
@json_option
def command(settings: tuple[str, ...], multirun: bool, because: str | None, help_config: bool, as_json: bool) -> None:
    """Train a model, evaluate it, export it, and register it as challenger.

    SETTINGS are group=choice (model=resnet18) or a.b=value (trainer.max_epochs=10).
    """
    if help_config:
        _print_settings()
        return
    for each in settings:
        if each.startswith("-"):
            raise click.UsageError(f"no option {each}", click.get_current_context())
    from tidemill.project.layout import find_project

    layout = find_project()
    if multirun:
        _grid(layout, list(settings), because, as_json)
        return
    trained = _train(layout, list(settings), because)
    if as_json:
        print_json(_plain(trained))
    else:
        _summary(trained)


def _train(layout: Layout, settings: list[str], because: str | None, *, parent: str = "") -> Trained:
    from tidemill.cli.progress import training_display
    from tidemill.project import configuration, training

    config = configuration.config(layout, settings)
    title = f"{config.name} · {config.model.kind} · data {config.data.name} {config.data.version} · seed {config.seed}"
    with training_display(title) as report:
        return training.train(layout, settings, report=report, decision=because, parent=parent)


def _grid(layout: Layout, settings: list[str], because: str | None, as_json: bool) -> None:
    from tidemill.project import configuration, training

    rows = configuration.grid(layout, settings)
    fixed = set.intersection(*(set(row) for row in rows)) if len(rows) > 1 else set()
    done = []
    with training.parent_run(layout, rows[0], len(rows)) as parent:
        for number, row in enumerate(rows, 1):
            told = " ".join(each for each in row if each not in fixed)
            click.secho(f"{number}/{len(rows)}  {told}", bold=True, err=True)
            done.append((told, _train(layout, row, because, parent=parent)))
    if as_json:
        print_json([{"settings": told, **_plain(trained)} for told, trained in done])
        return
    metrics = list(done[0][1].evaluation.metrics)
    _print_table(
        ("version", "settings", *metrics),
        [
            (str(each.version), told, *(f"{each.evaluation.metrics[name]:.4f}" for name in metrics))
            for told, each in done
        ],
    )


def _summary(trained: Trained) -> None:
    evaluation, version = trained.evaluation, trained.version
    figures = evaluation.metrics
    click.echo()
    if evaluation.labels:
        click.echo(
            f"accuracy  {figures['accuracy']:.1%} on {evaluation.rows:,} test rows (macro F1 {figures['macro_f1']:.3f})"
        )
        worst = ", ".join(f"{label} {recall:.0%}" for label, recall in evaluation.worst())
        if worst:
            click.echo(f"worst     {worst}")
    else:
        told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        click.echo(f"error     {told} on {evaluation.rows:,} test rows")
    click.echo(f"model     {version} (challenger), bundle {version.bundle.short}")
    click.echo(f"run       {trained.run.id}")
    click.echo(f"\nnext:  tidemill models promote {version.name} {version.number}")


def _plain(trained: Trained) -> dict[str, Any]:
    return {
        "model": trained.version.name,
        "version": trained.version.number,
        "run": trained.run.id,
        "dataset": trained.run.spec.dataset,
        "bundle": str(trained.bundle),
        "metrics": trained.evaluation.metrics,
        "per_class": trained.evaluation.per_class,
        "trainable_params": int(trained.run.metrics["trainable_params"]),
    }


def _print_settings() -> None:
    from tidemill.config.describe import settings

    rows = [tuple(each) for each in settings()]
    _print_table(("setting", "type", "default", "meaning"), rows)


def _print_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if not sys.stdout.isatty():
        for row in (header, *rows):
            click.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
