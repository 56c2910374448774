"""Upload every version's data to DVC's default remote."""

from __future__ import annotations

import click

from tidemill.cli.options import json_option, print_json


@click.command(epilog="Example: tidemill data push")
@json_option
def command(as_json: bool) -> None:
    """Upload every version's data to DVC's default remote."""
    from tidemill.project import data
    from tidemill.project.layout import find_project

    count = data.push(find_project())
    if as_json:
        print_json({"pushed": count})
    else:
        click.echo(f"pushed {count} files; the versions themselves:  git push --follow-tags")
