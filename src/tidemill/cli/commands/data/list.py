"""List data versions."""

from __future__ import annotations

import sys

import click

from tidemill.cli.data_view import line, print_table
from tidemill.cli.options import json_option, print_json
from tidemill.errors import NotFoundError, nearest


@click.command(epilog="Example: tidemill data list")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List all data versions, or those of NAME."""
    from tidemill.project import data
    from tidemill.project.layout import find_project

    every = data.versions(find_project())
    versions = [version for version in every if name in (None, version.name)]
    if name is not None and every and not versions:
        known = {version.name for version in every}
        raise NotFoundError(f"there is no data set {name!r}", nearest(name, known, kind="data sets"))
    if as_json:
        print_json(versions)
    elif not versions:
        click.echo("no data yet:  tidemill data add PATH --name NAME")
    elif sys.stdout.isatty():
        print_table(versions)
    else:
        for version in versions:
            click.echo(line(version))
