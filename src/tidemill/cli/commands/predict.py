"""Predict a file, a folder or a table with a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidemill.cli.bars import bar
from tidemill.cli.options import json_option, print_json
from tidemill.cli.tables import print_table

if TYPE_CHECKING:
    from tidemill.project.predicting import Predictions

_NAMED = 10  # problems that are printed


@click.command(epilog="Example: tidemill predict digits@champion 'pictures/*.png' --out answers.csv")
@click.argument("model")
@click.argument("path", nargs=-1, required=True)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write .csv, .tsv, .parquet or .jsonl instead of printing."
)
@click.option("--column", help="The column with the text, for a table of texts.")
@json_option
def command(model: str, path: tuple[str, ...], out: Path | None, column: str | None, as_json: bool) -> None:
    """Answer everything at PATH with MODEL: name@alias, name/version, or the directory of a bundle.

    PATH is a picture, a folder or a pattern of pictures; a CSV, TSV or Parquet table; or a text file, a text a line.
    An input that cannot be used is named on standard error and gets no answer; the others do.

    Exits with 0 when all were answered, 1 when some were not, 2 when none could be.
    """
    from tidemill.errors import StateError
    from tidemill.project.layout import find_project
    from tidemill.project.predicting import predict
    from tidemill.project.registry import is_bundle

    try:
        layout = find_project()
    except StateError:
        if not is_bundle(model):
            raise
        layout = None
    with bar() as reporter:
        found = predict(layout, model, path, column=column, out=out, reporter=reporter)
    if as_json:
        print_json(found.table.to_pylist())
    elif out is None:
        _print(found)
    _print_problems(found)
    if out is not None:
        click.echo(f"{found.answered:,} of {found.table.num_rows:,} answered, written to {out}", err=True)
    if found.problems:
        raise click.exceptions.Exit(1)


def _print(found: Predictions) -> None:
    """What was given, the answer, and its score; all scores are in --out and --json."""
    table = found.table
    scores = [name for name in table.column_names if name.startswith("score_")]
    given = table.column_names[: table.column_names.index("output")]
    if sys.stdout.isatty():
        given = given[:4]  # a table of a hundred columns has no room
    rows = []
    for row in table.select([*given, "output", *scores]).to_pylist():
        best = max((row[name] for name in scores if row[name] is not None), default=None)
        output = "" if row["output"] is None else str(row["output"])
        cells = [_cell(row[name]) for name in given]
        rows.append((*cells, output, *([f"{best:.4f}" if best is not None else ""] if scores else [])))
    print_table((*given, "output", *(["score"] if scores else [])), rows, right=("score",))


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 or not sys.stdout.isatty() else flat[:59] + "…"


def _print_problems(found: Predictions) -> None:
    for name, problem in found.problems[:_NAMED]:
        click.secho(f"no answer for {name}: {problem}", err=True, fg="yellow")
    if len(found.problems) > _NAMED:
        click.secho(f"… and for {len(found.problems) - _NAMED} more", err=True, fg="yellow")
