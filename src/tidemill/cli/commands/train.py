"""Train a model, evaluate it, export it, and register it as challenger.

SETTINGS are  group=choice  (model=resnet18) or  a.b=value  (trainer.max_epochs=10); --help-config lists them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option, print_json
from tidemill.cli.tables import print_table

if TYPE_CHECKING:
    from tidemill.project.training import Trained


@click.command(
    epilog="Example: tidemill train model=resnet18 trainer.max_epochs=10;  a grid: tidemill train -m seed=1,2,3",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("settings", nargs=-1, type=click.UNPROCESSED)
@click.option("-m", "--multirun", is_flag=True, help="Train all combinations: a,b, range(), choice(), glob() …")
@click.option(
    "--resume", is_flag=False, flag_value="newest", metavar="[RUN]",
    help="Go on with a run that was killed; without RUN with the newest.",
)  # fmt: skip
@click.option("--anyway", is_flag=True, help="With --resume: although code or environment have changed.")
@click.option("--because", metavar="DECISION", help="The id of the retrain decision that asks for this training.")
@click.option("--help-config", is_flag=True, help="List all settings with type, default and meaning, and end.")
@json_option
def command(
    settings: tuple[str, ...], multirun: bool, resume: str | None, anyway: bool, because: str | None, help_config: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Train a model, evaluate it, export it, and register it as challenger.

    SETTINGS are group=choice (model=resnet18) or a.b=value (trainer.max_epochs=10).
    """
    if help_config:
        _print_settings()
        return
    for each in settings:
        if each.startswith("-"):
            raise click.UsageError(f"no option {each}", click.get_current_context())
    if anyway and resume is None:
        raise click.UsageError("--anyway belongs to --resume", click.get_current_context())
    from tidemill.project.layout import find_project

    layout = find_project()
    from tidemill.cli.grid import train_grid
    from tidemill.cli.training import plain, resume_shown, train_shown

    if resume is None and multirun:
        train_grid(layout, list(settings), because, as_json=as_json)
        return
    if resume is None:
        trained = train_shown(layout, list(settings), because)
    else:
        _check_alone(resume, settings, multirun=multirun, because=because)
        trained = resume_shown(layout, "" if resume == "newest" else resume, anyway=anyway)
    if as_json:
        print_json(plain(trained))
    else:
        _summary(trained)


def _check_alone(resume: str, settings: tuple[str, ...], *, multirun: bool, because: str | None) -> None:
    """A run that goes on does so with what it began with."""
    given = [each for each in (resume, *settings) if "=" in each or each in settings]
    given += ["-m"] * multirun + ["--because"] * (because is not None)
    if given:
        raise click.UsageError(
            f"--resume goes on with the run's own settings: leave {' '.join(given)} out", click.get_current_context()
        )


def _summary(trained: Trained) -> None:
    evaluation = trained.evaluation
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
    if trained.registered is None:
        click.echo(f"model     not registered: {trained.refusal}")
        click.echo(f"run       {trained.run.id}, which keeps the model under source/")
        return
    version = trained.version
    click.echo(f"model     {version} (challenger), bundle {version.bundle.short}")
    click.echo(f"run       {trained.run.id}")
    click.echo(f"\nnext:  tidemill models promote {version.name} {version.number}")


def _print_settings() -> None:
    from tidemill.config.describe import settings

    rows = [tuple(each) for each in settings()]
    print_table(("setting", "type", "default", "meaning"), rows)
