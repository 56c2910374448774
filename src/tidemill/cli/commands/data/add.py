"""Check data, pack it, and make it a version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from tidemill.cli.checks_view import print_report
from tidemill.cli.data_view import checking, line
from tidemill.cli.options import json_option, print_json
from tidemill.errors import DataError

if TYPE_CHECKING:
    from tidemill.dataset.checks.finding import Report, SchemaChoice
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
@click.option(
    "--on-problem",
    type=click.Choice(["stop", "leave-out"]),
    help="Damaged or leaking rows, impossible values: stop (the default), or leave them out and say so.",
)
@click.option(
    "--schema",
    type=click.Choice(["stop", "convert", "new"]),
    help="A table with other columns than before: stop (the default), convert without loss, or take it as it is.",
)
@json_option
def command(
    path: Path, name: str, version: str | None, target: str | None, text: str | None, kind: str | None,
    no_header: bool, as_text: tuple[str, ...], on_problem: str | None, schema: str | None, as_json: bool,
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
    reports: list[Report] = []
    checks = data.Choices(cast("Literal['stop', 'leave-out'] | None", on_problem), cast("SchemaChoice | None", schema))
    reading = Reading(target, text, cast("Kind | None", kind), not no_header, frozenset(as_text))
    layout = find_project()
    try:
        with checking("checking") as progress:
            added = data.add_version(
                layout, path, name=name, version=version, reading=reading, note=notes.append, progress=progress,
                checks=checks, heard=reports.append,
            )  # fmt: skip
    except DataError:
        if as_json and reports:
            print_json({"version": None, "new": False, "notes": notes, "report": reports[-1]})
        elif reports and reports[-1].findings:
            print_report(reports[-1])
        raise
    if not as_json and reports:
        print_report(reports[-1])
    for note in notes:
        click.secho(f"note: {note}", err=True, fg="yellow")
    if as_json:
        print_json(
            {"version": added.version, "new": added.new, "notes": notes, "report": reports[-1] if reports else None}
        )
    else:
        click.echo(("added " if added.new else "unchanged ") + line(added.version))
