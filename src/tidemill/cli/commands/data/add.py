"""Check data, pack it, and make it a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import click

from tidemill.cli.checks_view import print_report, stopped
from tidemill.cli.data_view import checking, line, print_next
from tidemill.cli.options import json_option, print_json
from tidemill.errors import DataError, InputError

if TYPE_CHECKING:
    from tidemill.dataset.checks.finding import Report, SchemaChoice
    from tidemill.domain.dataset import Kind


@click.command(epilog="Example: tidemill data add trips.parquet --name trips --target duration")
@click.argument("path")
@click.option("--name", help="Name of the data set; needed unless PATH or --as is a known data set.")
@click.option("--as", "choice", metavar="DATASET", help="Read PATH as the known data set DATASET is read.")
@click.option("--digest", metavar="SHA256", help="An address: sha256:… that its bytes must have.")
@click.option("--allow-http", is_flag=True, help="An address: follow it without encryption, too.")
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
    path: str, name: str | None, choice: str | None, digest: str | None, allow_http: bool, version: str | None,
    target: str | None, text: str | None, kind: str | None,
    no_header: bool, as_text: tuple[str, ...], on_problem: str | None, schema: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Check the data at PATH, pack it, and make it a version.

    PATH is a folder of class folders with pictures (with or without train, val and test folders around them), a
    Parquet, CSV or TSV file, or a folder with one for each of train, val and test; an archive of such a folder
    (tar, tar.gz, zip); an address (https://…) of any of these; or the name of a known data set: cifar10, dogs,
    food11, cola, nyc_taxi. Splits that are missing are drawn by content, so that a row stays in its split.
    """
    from tidemill.dataset.reading import Reading
    from tidemill.project import data
    from tidemill.project.layout import find_project, read_marker

    notes: list[str] = []
    reports: list[Report] = []
    checks = data.Choices(cast("Literal['stop', 'leave-out'] | None", on_problem), cast("SchemaChoice | None", schema))
    reading = Reading(target, text, cast("Kind | None", kind), not no_header, frozenset(as_text))
    layout = find_project()

    def note(text: str) -> None:
        notes.append(text)
        click.secho(f"note: {text}", err=True, fg="yellow")

    with checking("fetching") as progress:
        fetching = data.Fetching(data.parse_digest(digest), allow_http, progress, note)
        given = data.resolve(layout, path, choice=choice, reading=reading, fetching=fetching)
    name = name or given.name
    if name is None:
        raise InputError("the data set needs a name", f"tidemill data add {path} --name NAME")
    for address, found in given.source.items():
        note(f"{address} is {found}")
    try:
        with checking("checking") as progress:
            added = data.add_version(
                layout, given.path, name=name, version=version, reading=given.reading, note=note,
                progress=progress, checks=checks, heard=reports.append, source=given.source,
            )  # fmt: skip
    except DataError:
        if as_json and reports:
            print_json({"version": None, "new": False, "notes": notes, "report": reports[-1]})
            raise
        if reports and print_report(reports[-1]):
            raise DataError(*stopped(reports[-1])) from None
        raise
    if not as_json and reports:
        print_report(reports[-1])
    if as_json:
        print_json(
            {
                "version": added.version, "new": added.new, "change": added.change and added.change._asdict(),
                "notes": notes,
                "report": reports[-1] if reports else None,
            }
        )  # fmt: skip
    else:
        click.echo(("added " if added.new else "unchanged ") + line(added.version))
        print_next(added, read_marker(layout).name)
