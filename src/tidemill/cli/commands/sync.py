"""Send what waits for a tracking server that was away."""

from __future__ import annotations

import click

from tidemill.cli.options import json_option, print_json


@click.command(epilog="Example: tidemill sync")
@json_option
def command(as_json: bool) -> None:
    """Send what ended runs could not tell the tracking server while it was away."""
    from tidemill.project.layout import find_project
    from tidemill.project.runs import sync

    sent = sync(find_project())
    if as_json:
        print_json([{"run": run, "entries": entries} for run, entries in sent])
        return
    for run, entries in sent:
        click.echo(f"sent {entries} entries of run {run}")
    if not sent:
        click.echo("nothing waits")
