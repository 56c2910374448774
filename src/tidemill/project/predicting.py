"""Batch prediction: files, folders and tables in, a table out."""

from __future__ import annotations

import glob
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.errors import InputError, NotFoundError, nearest
from tidemill.files import write_atomic
from tidemill.project.layout import Layout
from tidemill.project.sources import TABLES, Pictures, as_numbers, pictures, read_lines, read_table, text_column

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.bundle.predictor import Predictor
    from tidemill.ports import Reporter
    from tidemill.stages.predict import Answers

_WRITERS = (".csv", ".tsv", ".parquet", ".jsonl")


@dataclass(frozen=True, slots=True)
class Predictions:
    """`table`: what was given (file, line and text, or the columns of a table), then `output`, then `score_LABEL`
    for each label, then `problem` where an input could not be answered. `problems` are named ones of these.
    """

    table: pa.Table
    answered: int
    problems: tuple[tuple[str, str], ...]


def predict(
    layout: Layout | None,
    model: str,
    paths: Sequence[str],
    *,
    column: str | None = None,
    out: Path | None = None,
    reporter: Reporter | None = None,
) -> Predictions:
    """Answer everything at `paths` (files, folders or patterns) with `model`; write the table to `out`, whole.

    `column` names the column with the text, for a table of texts. Raises InputError when nothing could be answered.
    """
    from tidemill.project.bundles import open_model

    if out is not None:
        check_out(out)
    files = [Path(found) for text in paths for found in _expand(text)]
    predictor = open_model(layout, model)
    given = {"image": _of_pictures, "text": _of_texts, "tabular": _of_rows}[predictor.bundle.task]
    predictions = given(predictor, files, column, reporter)
    if not predictions.answered:
        name, problem = predictions.problems[0]
        raise InputError(f"nothing could be answered; the first, {name}: {problem}", "check what was given")
    if out is not None:
        write_table(predictions.table, out)
    return predictions


def _expand(text: str) -> list[str]:
    if Path(text).exists():
        return [text]
    found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not found:
        parent = Path(text).parent
        there = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
        raise NotFoundError(f"there is no {text}", nearest(Path(text).name, there, kind="files there"))
    return found


def _of_pictures(
    predictor: Predictor, files: Sequence[Path], column: str | None, reporter: Reporter | None
) -> Predictions:
    from tidemill.stages.predict import predict as answer

    found = pictures(files)
    names = [str(path) for path in found]
    return _assembled(predictor, {"file": names}, names, answer(predictor, Pictures(found), reporter))


def _of_texts(
    predictor: Predictor, files: Sequence[Path], column: str | None, reporter: Reporter | None
) -> Predictions:
    from tidemill.stages.predict import predict as answer

    file = _only(files)
    if file.suffix.lower() not in TABLES:
        numbers, texts = read_lines(file)
        answers = answer(predictor, texts, reporter)
        return _assembled(
            predictor, {"line": numbers, "text": texts}, [f"line {number}" for number in numbers], answers
        )
    table = read_table(file, texts=None)
    name = text_column(table, column)
    given = [InputError("no text") if value is None else value for value in table.column(name).to_pylist()]
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return _assembled(predictor, columns, _rows(table.num_rows), answer(predictor, given, reporter))


def _of_rows(predictor: Predictor, files: Sequence[Path], column: str | None, reporter: Reporter | None) -> Predictions:
    from tidemill.domain.bundle import TabularPreprocessing
    from tidemill.stages.predict import predict_table

    preprocessing = predictor.bundle.preprocessing
    assert isinstance(preprocessing, TabularPreprocessing)
    table = read_table(_only(files), texts=[each.name for each in preprocessing.columns if each.type == "category"])
    names = [each.name for each in preprocessing.columns]
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise InputError(
            f"{files[0]} lacks the column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing[:8]))}",
            nearest(missing[0], table.column_names, kind="its columns"),
        )
    numbers = [each.name for each in preprocessing.columns if each.type != "category"]
    written = files[0].suffix.lower() in (".csv", ".tsv")  # there a number may be text to the reader
    readable, problems = as_numbers(table.select(names), numbers if written else [])
    answers = predict_table(predictor, readable, reporter)
    for row, problem in problems.items():
        answers.answers[row], answers.problems[row] = None, problem
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return _assembled(predictor, columns, _rows(table.num_rows), answers)


def _only(files: Sequence[Path]) -> Path:
    if len(files) != 1 or files[0].is_dir():
        what = f"the folder {files[0]}" if len(files) == 1 else f"{len(files)} files"
        raise InputError(f"{what} cannot be predicted at once", "give one file: CSV, TSV, Parquet, or lines of text")
    return files[0]


def _rows(number: int) -> list[str]:
    return [f"row {row}" for row in range(1, number + 1)]


def _assembled(predictor: Predictor, given: dict[str, Any], names: Sequence[str], answers: Answers) -> Predictions:
    import pyarrow as pa

    labels = predictor.bundle.signature.labels
    columns = dict(given)
    taken = {"output", "problem", *(f"score_{label}" for label in labels)}.intersection(columns)
    if taken:
        columns = {f"{name}_given" if name in taken else name: values for name, values in columns.items()}
    outputs = [None if answer is None else answer.output for answer in answers.answers]
    if labels:
        columns["output"] = pa.array(outputs, pa.string())
        for label in labels:
            scores = [None if answer is None else answer.scores[label] for answer in answers.answers]
            columns[f"score_{label}"] = pa.array(scores, pa.float32())
    else:
        values = [None if answer is None else answer.scores["value"] for answer in answers.answers]
        columns["output"] = pa.array(values, pa.float32())
    if answers.problems:
        columns["problem"] = pa.array([answers.problems.get(row) for row in range(len(outputs))], pa.string())
    problems = tuple((names[row], problem) for row, problem in sorted(answers.problems.items()))
    return Predictions(pa.table(columns), len(outputs) - len(problems), problems)


def check_out(out: Path) -> None:
    """Raises InputError for a file whose suffix says nothing, or that is a folder."""
    if out.suffix.lower() not in _WRITERS:
        raise InputError(f"--out {out}: the suffix {out.suffix!r} is unknown", f"known are {', '.join(_WRITERS)}")
    if out.is_dir():
        raise InputError(f"--out {out} is a folder", "name a file in it")
    if not out.absolute().parent.is_dir():
        raise NotFoundError(f"--out {out}: there is no folder {out.parent}", "make it, or write somewhere else")


def write_table(table: pa.Table, out: Path) -> None:
    """Write `table` in the format that the suffix of `out` names; readers see the whole file or none."""
    writers: dict[str, Callable[[pa.Table], bytes]] = {
        ".csv": lambda table: _csv(table, ","),
        ".tsv": lambda table: _csv(table, "\t"),
        ".parquet": _parquet,
        ".jsonl": lambda table: b"".join(
            json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n" for row in table.to_pylist()
        ),
    }
    write_atomic(out, writers[out.suffix.lower()](table))


def _csv(table: pa.Table, delimiter: str) -> bytes:
    from pyarrow import csv

    buffer = io.BytesIO()
    csv.write_csv(table, buffer, csv.WriteOptions(delimiter=delimiter, quoting_style="needed"))
    return buffer.getvalue()


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
