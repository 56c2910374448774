"""Train a recorded run again in a fresh directory, and compare it with its record step by step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option, print_json

if TYPE_CHECKING:
    from tidemill.stages.reproduce import Preparation

_SHOWN = 12


@click.command(epilog="Example: tidemill reproduce digits@champion. Exit code 1 when anything differs.")
@click.argument("run")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Work here, and leave it; by default nothing stays."
)
@click.option("--to-end", is_flag=True, help="Go on after the first step that differs.")
@click.option("--present-code", is_flag=True, help="Take the project's code as it is now: did a change alter training?")
@click.option("--strict", is_flag=True, help="Do not run when environment or lock files differ from the record.")
@json_option
def command(
    run: str, directory: Path | None, to_end: bool, present_code: bool, strict: bool, as_json: bool
) -> None:  # fmt: skip
    """Train RUN again from its recorded code, settings and data, and compare weights and metrics step by step.

    RUN is the id of a run or its beginning, or a MODEL. The project and its runs stay as they are.
    """
    from tidemill.project.again import reproduce
    from tidemill.project.again.reproducing import summary
    from tidemill.project.layout import find_project

    done = reproduce(
        find_project(), run, directory=directory, to_end=to_end, present_code=present_code, watcher=_Shown(strict)
    )
    if as_json:
        print_json(done)
    else:
        first, *rest = summary(done.verdict)
        click.echo(click.style(first, fg="green" if done.verdict.identical else "red", bold=True))
        for line in rest:
            click.echo(line)
        click.echo(f"report   {done.report}")
    sys.exit(0 if done.verdict.identical else 1)


class _Shown:
    """Tells of it on standard error."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict

    def prepared(self, preparation: Preparation) -> None:
        """What differs from the record, before anything runs. Raises StateError with --strict."""
        _environment(preparation)
        for kind, lines in (("lock", preparation.files), ("code", preparation.code), ("note", preparation.notes)):
            for line in lines:
                click.echo(f"{kind:<12} {line}", err=True)
        if preparation.data:
            click.echo(f"{'data':<12} {preparation.data}", err=True)
        if self._strict and (preparation.changes or preparation.files):
            from tidemill.errors import StateError

            raise StateError("the environment is not the recorded one, and nothing was run",
                             "install the recorded versions, or leave --strict out")  # fmt: skip

    def links(self, same: int, total: int) -> None:
        """So far it is the same."""
        if same and total and (same == total or sys.stderr.isatty()):
            end = "\n" if same == total else "\r"
            click.echo(f"{'weights':<12} {same} of {total} digests compared", err=True, nl=False)
            click.echo(end, err=True, nl=False)


def _environment(preparation: Preparation) -> None:
    changes = preparation.changes
    if not changes:
        click.echo(f"{'environment':<12} as recorded", err=True)
        return
    heavy = sum(each.matters for each in changes)
    click.echo(f"{'environment':<12} {len(changes)} differ, {heavy} of them compute", err=True)
    for each in changes[:_SHOWN]:
        style = {"fg": "yellow"} if each.matters else {"dim": True}
        line = f"  {each.name:<22} {each.recorded or 'none':<16} -> {each.present or 'none'}"
        click.echo(click.style(line, **style), err=True)
    if len(changes) > _SHOWN:
        click.echo(f"  … and {len(changes) - _SHOWN} more", err=True)
