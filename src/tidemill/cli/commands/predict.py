"""Predict a file, a folder or a table with a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidemill.cli.bars import bar
from tidemill.cli.options import json_option

if TYPE_CHECKING:
    from tidemill.project.layout import Layout
    from tidemill.project.predicting import Written


@click.command(epilog="Example: tidemill predict digits@champion 'pictures/*.png' --out answers.csv")
@click.argument("model")
@click.argument("path", nargs=-1, required=True)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write .csv, .tsv, .parquet or .jsonl instead of printing."
)
@click.option("--column", help="The column with the text, for a table of texts.")
@click.option(
    "--annotate", metavar="FOLDER", type=click.Path(path_type=Path), help="Also write pictures with their answers."
)
@json_option
def command(
    model: str, path: tuple[str, ...], out: Path | None, column: str | None, annotate: Path | None, as_json: bool
) -> None:
    """Answer everything at PATH with MODEL: name@alias, name/version, or the directory of a bundle.

    PATH is a picture, a folder or a pattern of pictures; tables as CSV, TSV, Parquet, JSON or JSON lines; or text
    files, a text a line. It is read in pieces: how long it is does not matter. An input that cannot be used is named
    on standard error and gets no answer; the others do. With --out, a command that was interrupted goes on where it
    was when it is given again.

    Exits with 0 when all were answered, 1 when some were not, 2 when none could be.
    """
    from tidemill.cli import predict_view
    from tidemill.project.predicting import open_job, predict

    layout = _project(model)
    if out is None:
        with bar() as reporter:
            job = open_job(layout, model, path, column=column)
            problems = predict_view.print_answers(job, annotate, reporter, as_json=as_json)
        predict_view.print_problems(problems.named, problems.number)
        raise click.exceptions.Exit(1 if problems.number else 0)
    with bar() as reporter:
        written = predict(layout, model, path, out=out, column=column, annotate=annotate, reporter=reporter)
    _tell(written, out, as_json)
    raise click.exceptions.Exit(0 if written.answered == written.rows else 1)


def _project(model: str) -> Layout | None:
    """The project; None outside of one, where a bundle's directory is enough."""
    from tidemill.errors import StateError
    from tidemill.project.layout import find_project
    from tidemill.project.registry import is_bundle

    try:
        return find_project()
    except StateError:
        if not is_bundle(model):
            raise
        return None


def _tell(written: Written, out: Path, as_json: bool) -> None:
    from tidemill.cli import predict_view
    from tidemill.cli.options import print_json

    predict_view.print_problems(written.problems, written.rows - written.answered)
    if as_json:
        print_json({"out": out, **{name: getattr(written, name) for name in ("rows", "answered", "found")}})
    before = f"; {written.found:,} of them were found from before" if written.found else ""
    click.echo(f"{written.answered:,} of {written.rows:,} answered, written to {out}{before}", err=True)
