"""A model and what it is to answer, and the answers as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tidemill.errors import InputError
from tidemill.project.layout import Layout
from tidemill.project.predicting.sources import Chunk, Lines, Pictures, Source, expand, files_in
from tidemill.project.predicting.tables import TABLES, Tables

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.bundle.predictor import Predictor
    from tidemill.ports import Reporter
    from tidemill.stages.predict import Answers

    Look = Callable[[int, Chunk, Answers], None]
    """Told of each chunk that was answered: its first row, what it held, and its answers."""

PROBLEM, WHERE = "problem", "__tidemill_where"


class Named(NamedTuple):
    """An input without an answer: how it is called, and what is wrong with it."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class Job:
    """What `source` holds, to be answered by `predictor`."""

    predictor: Predictor
    source: Source

    @property
    def schema(self) -> pa.Schema:
        """What was given (file, line and text, or the columns of a table), then `output`, `score_LABEL` for each
        label, `problem`, null where there is an answer, and last how a row with a problem is called.

        A given column whose name is one of these is called NAME_given.
        """
        import pyarrow as pa

        labels = self.predictor.bundle.signature.labels
        made = [("output", pa.string() if labels else pa.float32())]
        made += [(f"score_{label}", pa.float32()) for label in labels]
        made += [(PROBLEM, pa.string()), (WHERE, pa.string())]
        taken = {name for name, _ in made}
        given = [
            field.with_name(f"{field.name}_given") if field.name in taken else field for field in self.source.schema
        ]
        return pa.schema([*given, *made])

    def tables(self, skip: int = 0, reporter: Reporter | None = None, look: Look | None = None) -> Iterator[pa.Table]:
        """The answers behind the first `skip` rows, in order, as `schema` has them. Raises InputError."""
        row = skip
        for chunk in self.source.chunks(skip):
            answers = self._answer(chunk)
            if look is not None:
                look(row, chunk, answers)
            row += len(answers.outputs)
            if reporter is not None:
                reporter.progress(row, max(row, self.source.total), "predicting")
            yield self._table(chunk, answers)

    def _answer(self, chunk: Chunk) -> Answers:
        from tidemill.stages.predict import predict, predict_table

        if hasattr(chunk.inputs, "column_names"):
            return predict_table(self.predictor, chunk.inputs, chunk.problems)
        return predict(self.predictor, chunk.inputs)

    def _table(self, chunk: Chunk, answers: Answers) -> pa.Table:
        import pyarrow as pa

        rows = len(answers.outputs)
        schema = self.schema
        columns: list[Any] = list(chunk.columns.values())
        if self.predictor.bundle.signature.labels:
            columns += [answers.outputs, *(pa.array(scores, from_pandas=True) for scores in answers.scores.T.copy())]
        else:
            columns.append(pa.array(answers.scores[:, 0].copy(), from_pandas=True))
        columns.append([answers.problems.get(row) for row in range(rows)])
        columns.append([chunk.names[row] if row in answers.problems else None for row in range(rows)])
        typed = [
            values if isinstance(values, pa.ChunkedArray) else pa.array(values, field.type)
            for values, field in zip(columns, schema, strict=True)
        ]
        return pa.table(typed, schema)


def open_job(layout: Layout | None, model: str, paths: Sequence[str], *, column: str | None = None) -> Job:
    """Everything at `paths` (files, folders or patterns), for `model`: name@alias, name/version, a bundle's directory.

    `column` names the column with the text, for tables of texts. Raises InputError, NotFoundError, BundleError.
    """
    from tidemill.project.bundles import open_model

    given = expand(paths)
    predictor = open_model(layout, model)
    return Job(predictor, _source(predictor, given, column))


def _source(predictor: Predictor, given: Sequence[Any], column: str | None) -> Source:
    from tidemill.domain.bundle import TabularPreprocessing

    preprocessing = predictor.bundle.preprocessing
    if column is not None and predictor.bundle.task != "text":
        name, task = predictor.bundle.name, predictor.bundle.task
        raise InputError("--column is for tables of texts", f"{name} answers {task}: leave it out")
    if predictor.bundle.task == "image":
        return Pictures(given)
    if isinstance(preprocessing, TabularPreprocessing):
        return Tables(files_in(given, TABLES, "table"), preprocessing.columns)
    files = files_in(given, (*TABLES, ".txt"), "text")
    tables = [file.suffix.lower() in TABLES for file in files]
    if all(tables):
        return Tables(files, None, column)
    if any(tables):
        raise InputError("both tables and lines of text are given", "predict them one after the other")
    return Lines(files)
