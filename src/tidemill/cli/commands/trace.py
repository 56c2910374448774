"""Walk from an answer back to the model, config, code, environment and data that made it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option, print_json

if TYPE_CHECKING:
    from tidemill.stages.trace import Link

_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "yellow")}


@click.command(epilog="Example: tidemill trace 01K9YV5J3T6Q8R2N4B7M1XWZCD. Exit code 1 when a link is broken.")
@click.argument("prediction_id")
@json_option
def command(prediction_id: str, as_json: bool) -> None:
    """Show what made the answer PREDICTION_ID, and recheck every digest on the way. Needs no network."""
    from tidemill.project import tracing
    from tidemill.project.layout import find_project

    found = tracing.trace(find_project(), prediction_id)
    if as_json:
        print_json({"prediction": found.prediction, "verified": found.verified, "links": found.links})
    else:
        for link in found.links:
            _print(link, last=link is found.links[-1])
    sys.exit(0 if found.verified else 1)


def shorten(text: str, width: int = 100) -> str:
    """`text` in one line of at most `width` characters; all of it is in --json."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _print(link: Link, *, last: bool) -> None:
    mark, colour = _MARKS[link.verified]
    digest = link.digest.short if link.digest else ""
    click.echo(
        f"{click.style(mark, fg=colour, bold=True)} {link.kind:<11} {link.name:<32} "
        f"{click.style(f'{digest:<12}', dim=True)}  {shorten(link.detail)}".rstrip()
    )
    rail = " " if last else "│"
    if link.reason:
        click.echo(f"{click.style(rail, dim=True)} {'':<11} {click.style(link.reason, fg=colour)}")
