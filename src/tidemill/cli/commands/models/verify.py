"""Check every line of the ledger and every byte of every version's bundle. Exits with 1 when one was altered."""

from __future__ import annotations

import click

from tidemill.cli.options import json_option, print_json
from tidemill.cli.tables import mark


@click.command(epilog="Example: tidemill models verify")
@json_option
def command(as_json: bool) -> None:
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
