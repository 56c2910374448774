"""Model versions: list, show, promote, rollback, history, verify."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from tidemill.cli.bars import bar
from tidemill.cli.options import json_option, print_json
from tidemill.cli.tables import mark

if TYPE_CHECKING:
    from tidemill.domain.registry import Event


@click.group(epilog="Example: tidemill models promote digits 2 && tidemill models history digits")
def command() -> None:
    """List, show, promote and roll back model versions.

    A MODEL is name@alias or name/version. The champion is what servers of name@champion answer with.
    """


@command.command("list", epilog="Example: tidemill models list")
@click.argument("name", required=False)
@json_option
def list_(name: str | None, as_json: bool) -> None:
    """List all versions, or those of the model NAME, the newest first."""
    from tidemill.cli import models_view
    from tidemill.project import models
    from tidemill.project.layout import find_project

    layout = find_project()
    models.reconcile(layout)
    if name is not None:
        models.state(layout, name)  # an unknown name is an error
    rows = [row for row in models_view.versions(layout) if name in (None, row["model"])]
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("no model yet:  tidemill train")
    else:
        models_view.print_versions(rows)


@command.command(epilog="Example: tidemill models show digits@champion")
@click.argument("model")
@json_option
def show(model: str, as_json: bool) -> None:
    """Show the card of MODEL: metrics, classes, export, lineage."""
    from tidemill.bundle.read import read_record
    from tidemill.cli import models_view
    from tidemill.project import models
    from tidemill.project.layout import find_project

    if models.is_bundle(model):
        from pathlib import Path

        bundle, digest = read_record(Path(model))
        title = f"{bundle.name}, bundle in {model}"
    else:
        layout = find_project()
        models.reconcile(layout)
        version = models.resolve(layout, model)
        bundle, digest = read_record(models.local_bundle(layout, version))
        title = models_view.title(version, models.state(layout, version.name))
    if as_json:
        print_json({"title": title, "digest": digest, "bundle": bundle})
    else:
        models_view.print_card(title, bundle, digest)


@command.command(epilog="Example: tidemill models promote digits 2")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--force", metavar="REASON", help="Promote although the evidence does not hold; the reason is kept.")
@json_option
def promote(name: str, version: int, force: str | None, as_json: bool) -> None:
    """Make VERSION of NAME the champion, on the evidence of the newest data version's test split.

    Exits with 1 when the evidence does not hold, and changes nothing then.
    """
    from tidemill.cli import models_view
    from tidemill.errors import InputError
    from tidemill.project import models
    from tidemill.project.layout import find_project

    if force is not None and not force.strip():
        raise InputError("--force needs a reason", 'for example  --force "the old model is broken"')
    layout = find_project()
    with bar() as reporter:
        event = models.promote(layout, name, version, force=force, reporter=reporter)
    if as_json:
        print_json(event)
    else:
        models_view.print_promotion(event)


@command.command(epilog='Example: tidemill models rollback digits --reason "too many wrong sevens"')
@click.argument("name")
@click.option("--reason", help="Why; kept in the ledger.")
@json_option
def rollback(name: str, reason: str | None, as_json: bool) -> None:
    """Put the champion before the present one back."""
    from tidemill.project import models
    from tidemill.project.layout import find_project

    event = models.rollback(find_project(), name, reason)
    if as_json:
        print_json(event)
    else:
        click.echo(f"{name}/{event.payload['to']} is champion again, instead of {name}/{event.payload['from']}")


@command.command(epilog="Example: tidemill models history digits --at 2026-11-20T18:00")
@click.argument("name")
@click.option("--at", metavar="TIME", help="What was champion at TIME (ISO 8601; local time unless it says otherwise).")
@json_option
def history(name: str, at: str | None, as_json: bool) -> None:
    """Show what happened to NAME, or who was champion at a time."""
    from tidemill.cli import models_view
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
        models_view.print_history(events)


@command.command(epilog="Example: tidemill models verify")
@json_option
def verify(as_json: bool) -> None:
    """Check every line of the ledger and every byte of every version's bundle. Exits with 1 when one was altered."""
    from tidemill.project import models
    from tidemill.project.layout import find_project

    layout = find_project()
    models.reconcile(layout)
    checks = models.verify(layout)
    if as_json:
        print_json(checks)
    else:
        for check in checks:
            click.echo(f"{mark(check.held)} {check.name:<20} {check.detail}")
    if not all(check.held for check in checks):
        raise click.exceptions.Exit(1)


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
