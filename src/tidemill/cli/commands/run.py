"""Run somebody else's script, unchanged, and keep all its lineage."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option

if TYPE_CHECKING:
    from tidemill.project.capturing import Outcome


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: tidemill run -- python train.py --lr 0.1. Exit code: the script's own.",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND [ARGUMENTS]...")
@click.option("--name", default="", help="The run's name; otherwise the script's.")
@click.option("--no-autolog", is_flag=True, help="Do not listen to frameworks for parameters and metrics.")
@click.option("--no-preload", is_flag=True, help="See files by Python's audit hook and inotify only.")
@click.option("--register", metavar="NAME[=PATH]", help="Register the model file it wrote in MLflow as NAME.")
@click.option("--show", metavar="RUN", help="Show a run's record instead: its id, the start of it, or 'last'.")
@click.option("--who", metavar="PATH", help="Show instead which runs read or wrote the content of PATH.")
@json_option
def command(
    words: tuple[str, ...], name: str, no_autolog: bool, no_preload: bool, register: str | None, show: str | None,
    who: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Run COMMAND and record its parameters, figures, output, code, environment, and the files it reads and writes.

    COMMAND is any: python train.py, python -m module, a notebook, sh -c "…". It needs no line of Tidemill, and behaves
    as without it: output, exit code, signals. Outside of a project the runs are kept in .tidemill/ of the repository.
    """
    from tidemill.errors import InputError

    if show is not None or who is not None:
        if words:
            raise InputError("--show and --who run nothing", "leave the command out")
        from tidemill.cli import runs_view

        runs_view.show(show, as_json) if show is not None else runs_view.who(str(who), as_json)
        return
    if not words:
        raise InputError("there is no command to run", "tidemill run -- python train.py --lr 0.1")
    _run(words, name, no_autolog, no_preload, register, as_json)


def _run(
    words: tuple[str, ...], name: str, no_autolog: bool, no_preload: bool, register: str | None, as_json: bool
) -> None:
    from tidemill.project import capturing, keeping, registering

    if register is not None:
        registering.check_wish(register)
    layout, new = capturing.place()
    if new and sys.stderr.isatty():
        click.secho(f"runs are kept in {layout.state}", dim=True, err=True)
    asked = capturing.Asked(words, layout, layout.root, autolog=not no_autolog, name=name, preload=not no_preload)
    outcome = capturing.capture(asked)
    if outcome.lost:
        click.secho(f"tidemill: the run is not kept: {outcome.lost}", fg="yellow", err=True)
    elif sys.stderr.isatty():
        _summary(outcome)
    if register is not None and outcome.lost:
        click.secho("tidemill: nothing is registered, since the run is not kept", fg="yellow", err=True)
    elif register is not None and outcome.ended.code == 0:
        version, path = registering.register(layout, keeping.experiment_of(layout), outcome, register)
        click.secho(
            f"registered {path} as {version} in MLflow: a file, which Tidemill does not serve", dim=True, err=True
        )
    if outcome.ended.signal is not None:
        from tidemill.stages.capture.child import die_of

        die_of(outcome.ended.signal)
    sys.exit(outcome.ended.code)


def _summary(outcome: Outcome) -> None:
    found = outcome.captured
    reads, writes = (sum(each.files for each in files) for files in (found.reads, found.writes))
    click.secho(f"run {outcome.run[:8] or 'not kept'}: {reads} read, {writes} written", dim=True, err=True, nl=False)
    click.secho(f"; tidemill run --show {outcome.run[:8]}" if outcome.run else "", dim=True, err=True)
    for note in found.notes:
        click.secho(f"  {note}", fg="yellow", err=True)
