"""Make a token; it is shown once."""

from __future__ import annotations

import sys

import click

from tidemill.cli.options import json_option, print_json


@click.command(epilog="Example: tidemill tokens add shop --scope predict,feedback --rate 100/s")
@click.argument("name")
@click.option(
    "--scope", "scopes", default="predict", show_default=True, help="What it is good for: predict, feedback, admin."
)
@click.option("--rate", metavar="N/UNIT", help="At most so many requests, as 100/s, 600/min or 50/h.")
@json_option
def command(name: str, scopes: str, rate: str | None, as_json: bool) -> None:
    """Make a token called NAME; it is shown once, and kept as a hash only.

    predict: predictions and what describes the models; feedback: labels that come back; admin: /metrics, and whatever
    changes a server.
    """
    from tidemill.project import tokens
    from tidemill.project.layout import find_project

    text, token = tokens.add(find_project(), name, [each.strip() for each in scopes.split(",") if each.strip()], rate)
    if as_json:
        print_json({"name": name, "token": text, "scopes": token.scopes, "rate": rate and str(token.rate)})
        return
    if sys.stdout.isatty():
        click.echo("Keep it now, it is not shown again:", err=True)
    click.echo(text)
