"""Show what happened to NAME, or who was champion at a time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from tidemill.cli.options import json_option, print_json

if TYPE_CHECKING:
    from tidemill.domain.registry import Event


@click.command(epilog="Example: tidemill models history digits --at 2026-11-20T18:00")
@click.argument("name")
@click.option("--at", metavar="TIME", help="What was champion at TIME (ISO 8601; local time unless it says otherwise).")
@json_option
def command(name: str, at: str | None, as_json: bool) -> None:
    """Show what happened to NAME, or who was champion at a time."""
    from tidemill.cli.history_view import print_history
    from tidemill.project import models
    from tidemill.project.layout import find_project

    layout = find_project()
    models.reconcile(layout, name)
    when = None if at is None else _time(at)
    events = models.history(layout, name, when)
    if as_json:
        print_json(_state(name, events, when) if when else events)
    elif when:
        found = _state(name, events, when)
        click.echo(f"champion at {when.isoformat()}: {found['champion'] or 'none'}")
        click.echo(f"challenger: {found['challenger'] or 'none'}")
    else:
        print_history(events)


def _state(name: str, events: list[Event], at: datetime) -> dict[str, Any]:
    from tidemill.domain.registry import fold

    found = fold(events)
    versions = {
        "champion": None if found.champion is None else f"{name}/{found.champion}",
        "challenger": None if found.challenger is None else f"{name}/{found.challenger}",
    }
    return {"at": at, **versions}


def _time(text: str) -> datetime:
    from tidemill.errors import InputError

    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise InputError(f"--at {text[:60]!r} is no time", "write it as 2026-11-20 or 2026-11-20T18:00") from None
