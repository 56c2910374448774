"""List the tokens, without their text."""

from __future__ import annotations

import click

from tidemill.cli.options import json_option, print_json
from tidemill.cli.tables import print_table
from tidemill.domain.record import to_plain


@click.command(epilog="Example: tidemill tokens list")
@json_option
def command(as_json: bool) -> None:
    """List the tokens: name, scopes, rate, and when each was made."""
    from tidemill.project import tokens
    from tidemill.project.layout import find_project

    known = tokens.known(find_project())
    if as_json:
        print_json([{**to_plain(each), "rate": each.rate and str(each.rate)} for each in known])
    elif not known:
        click.echo("no token yet:  tidemill tokens add NAME")
    else:
        rows = [(t.name, ",".join(t.scopes), str(t.rate or "-"), f"{t.created:%Y-%m-%d %H:%M}") for t in known]
        print_table(("token", "scopes", "rate", "made"), rows)
