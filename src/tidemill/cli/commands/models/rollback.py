"""Put the champion before the present one back."""

from __future__ import annotations

import click

from tidemill.cli.options import json_option, print_json


@click.command(epilog='Example: tidemill models rollback digits --reason "too many wrong sevens"')
@click.argument("name")
@click.option("--reason", help="Why; kept in the ledger.")
@json_option
def command(name: str, reason: str | None, as_json: bool) -> None:
    """Put the champion before the present one back."""
    from tidemill.project import models
    from tidemill.project.layout import find_project

    event = models.rollback(find_project(), name, reason)
    if as_json:
        print_json(event)
    else:
        click.echo(f"{name}/{event.payload['to']} is champion again, instead of {name}/{event.payload['from']}")
