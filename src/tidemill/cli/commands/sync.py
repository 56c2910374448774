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

    sent: list[dict[str, str | int]] = []
    try:
        for run, entries in sync(find_project()):
            sent.append({"run": run, "entries": entries})
            if not as_json:
                click.echo(f"sent {entries} entries of run {run}")
    finally:  # also what was sent before an error
        if as_json:
            print_json(sent)
    if not sent and not as_json:
        click.echo("nothing waits")
