"""Download every version's data from DVC's default remote."""

from __future__ import annotations

import click

from tidemill.cli.options import json_option, print_json


@click.command(epilog="Example: tidemill data pull")
@json_option
def command(as_json: bool) -> None:
    """Download every version's data from DVC's default remote."""
    from tidemill.project import data
    from tidemill.project.layout import find_project

    count = data.pull(find_project())
    if as_json:
        print_json({"pulled": count})
    else:
        click.echo(f"pulled {count} files")
