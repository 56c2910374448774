"""Show what changed from one version to another."""

from __future__ import annotations

from pathlib import Path

import click

from tidemill.cli.options import json_option, print_json


@click.command(epilog="Example: tidemill data diff digits-v1.0.0 digits-v2.0.0 --html changes.html")
@click.argument("a")
@click.argument("b")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write a page: charts before and after, and rows or pictures of each kind of change.",
)
@json_option
def command(a: str, b: str, html: Path | None, as_json: bool) -> None:
    """Show what changed from version A to B: NAME-vX.Y.Z, or X.Y.Z of the project's own data set."""
    from tidemill.cli.diff_view import print_diff
    from tidemill.project import data
    from tidemill.project.layout import find_project

    found = data.diff(find_project(), a, b, page=html)
    if as_json:
        print_json(found)
    else:
        print_diff(found)
    if html is not None:
        click.echo(f"wrote {html}", err=True)
