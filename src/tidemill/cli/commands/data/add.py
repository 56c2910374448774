"""Check data, pack it, and make it a version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from tidemill.cli.data_view import checking, line
from tidemill.cli.options import json_option, print_json

if TYPE_CHECKING:
    from tidemill.domain.dataset import Kind


@click.command(epilog="Example: tidemill data add trips.parquet --name trips --target duration")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name of the data set.")
@click.option("--version", help="X.Y.Z; 1.0.0 when it is the first, then the next minor.")
@click.option("--target", metavar="COLUMN", help="Table: the column to predict.")
@click.option("--text", metavar="COLUMN", help="Text: the column with the text.")
@click.option(
    "--kind", type=click.Choice(["classification", "regression"]), help="What the target is, when it is unclear."
)
@click.option("--no-header", is_flag=True, help="CSV, TSV: the first line is data; columns are c1, c2, …")
@click.option("--as-text", metavar="COLUMN", multiple=True, help="CSV, TSV: text, although it looks like numbers.")
@json_option
def command(
    path: Path, name: str, version: str | None, target: str | None, text: str | None, kind: str | None,
    no_header: bool, as_text: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Check the data at PATH, pack it, and make it a version.

    PATH is a folder of class folders with pictures (with or without train, val and test folders around them), a
    Parquet, CSV or TSV file, or a folder with one for each of train, val and test. Splits that are missing are drawn
    by content, so that a row stays in its split.
    """
    from tidemill.dataset.reading import Reading
    from tidemill.project import data
    from tidemill.project.layout import find_project

    notes: list[str] = []
    reading = Reading(target, text, cast("Kind | None", kind), not no_header, frozenset(as_text))
    layout = find_project()
    with checking("checking") as progress:
        added = data.add_version(
            layout, path, name=name, version=version, reading=reading, note=notes.append, progress=progress
        )
    for note in notes:
        click.secho(f"note: {note}", err=True, fg="yellow")
    if as_json:
        print_json({"version": added.version, "new": added.new, "notes": notes})
    else:
        click.echo(("added " if added.new else "unchanged ") + line(added.version))
