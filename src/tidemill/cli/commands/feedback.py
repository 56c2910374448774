"""Log the true labels of answered predictions."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tidemill.cli.options import json_option, print_json
from tidemill.errors import InputError, ItemError

_COLUMNS = ("prediction_id", "label")


@click.command(epilog="Example: tidemill feedback 01JX5W8D3N2Q4R6T8V0Y2Z4A6B 7")
@click.argument("prediction_id", required=False)
@click.argument("label", required=False)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV or JSON Lines with prediction_id and label.",
)
@json_option
def command(prediction_id: str | None, label: str | None, source: Path | None, as_json: bool) -> None:
    """Log LABEL as the truth for PREDICTION_ID, or all labels of a file: every one of them, or none."""
    from tidemill.project.layout import find_project
    from tidemill.project.serving import feedback

    if (source is None) == (label is None) or (source is not None and prediction_id is not None):
        raise click.UsageError("give PREDICTION_ID and LABEL, or --from FILE")
    layout = find_project()
    if source is None:
        assert prediction_id is not None and label is not None
        taken, new = 1, feedback(layout, [(prediction_id, label)])
    else:
        taken, new = _from_file(layout, source)
    if as_json:
        print_json({"accepted": taken, "unchanged": taken - new})
    else:
        known = f", {taken - new} known already" if taken > new else ""
        click.echo(f"{taken} label{'s' * (taken != 1)} taken{known}")


def _from_file(layout: Any, source: Path) -> tuple[int, int]:
    from tidemill.project.serving import feedback

    lines = list(_lines(source))
    if not lines:
        raise InputError(f"{source} holds no label", "it needs the columns prediction_id and label")
    try:
        return len(lines), feedback(layout, [pair for _, pair in lines])
    except ItemError as error:
        raise InputError(f"{source}, line {lines[error.index][0]}: {error.headline}", error.remedy) from None


def _lines(source: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """Line numbers, from 1, with id and label. Raises InputError naming the line."""
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{source} is not text in UTF-8", "give a CSV or JSON Lines file") from None
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror}", "check the path") from None
    yield from _json_lines(source, text) if text.lstrip().startswith("{") else _csv_lines(source, text)


def _json_lines(source: Path, text: str) -> Iterator[tuple[int, tuple[str, str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(f"{source}, line {number}: this is not JSON", "one object a line") from None
        values = [record.get(column) for column in _COLUMNS] if isinstance(record, dict) else [None]
        if any(isinstance(value, bool) or not isinstance(value, str | int | float) for value in values):
            raise InputError(
                f"{source}, line {number}: prediction_id or label is missing",
                'a line is {"prediction_id": …, "label": …}',
            )
        yield number, (str(values[0]), str(values[1]))


def _csv_lines(source: Path, text: str) -> Iterator[tuple[int, tuple[str, str]]]:
    reader = csv.reader(text.splitlines())
    header = [name.strip() for name in next(reader, [])]
    if not set(_COLUMNS) <= set(header):
        raise InputError(
            f"{source}, line 1: the columns are {', '.join(header)[:100] or 'none'}",
            "it needs the columns prediction_id and label",
        )
    places = [header.index(column) for column in _COLUMNS]
    try:
        for row in reader:
            if not row:
                continue
            if len(row) != len(header) or not all(row[place].strip() for place in places):
                raise InputError(
                    f"{source}, line {reader.line_num}: prediction_id or label is missing",
                    "fill both columns in each line",
                )
            yield reader.line_num, (row[places[0]].strip(), row[places[1]].strip())
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num}: {error}", "save it as plain CSV") from None
