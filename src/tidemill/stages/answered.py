"""Answered rows of one model version as arrays: a window of the log, or the reference sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.bundle.preprocess import raw_input
from tidemill.bundle.reference import MAX_INPUT
from tidemill.ports import Sample
from tidemill.stages.inputs import describe

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.domain.bundle import Signature


@dataclass(frozen=True, slots=True)
class AnsweredRows:
    """`sample` is what detectors compare. `answers` and `truth` are [N]: class names as text, or float64 values.

    `labelled` [N] marks the rows whose truth is known; elsewhere `truth` is the empty text or NaN.
    """

    sample: Sample
    answers: NDArray[Any]
    truth: NDArray[Any]
    labelled: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The highest score of each row, [N]."""
        return np.asarray(self.sample.scores.max(axis=1), np.float64)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each labelled row was answered right, [labelled rows]; classification only."""
        return np.asarray(self.answers[self.labelled] == self.truth[self.labelled], np.bool_)

    @property
    def errors(self) -> NDArray[np.float64]:
        """Answer minus truth of the labelled rows; regression only."""
        return np.asarray(self.answers[self.labelled] - self.truth[self.labelled], np.float64)


def answered_rows(signature: Signature, preprocessor: Preprocessor, table: pa.Table) -> AnsweredRows:
    """Rows of `bundle.reference.read_reference`, or of `PredictionLog.window` for one model version.

    Inputs that either side may have left out, because they are long, are described on neither.
    """
    kept = [content for content in table["input"].to_pylist() if content is not None and len(content) <= MAX_INPUT]
    scores = _matrix(table["scores"])
    facts = describe(preprocessor, [raw_input(signature.task, content) for content in kept])
    sample = Sample(scores, _matrix(table["embedding"]), facts)
    labels = table["label"].to_pylist()
    if signature.kind == "regression":
        values = np.array([_number(label) for label in labels], np.float64)
        return AnsweredRows(sample, scores[:, 0].astype(np.float64), values, np.isfinite(values))
    answers = np.array(table["output"].to_pylist(), dtype=str)
    truth = np.array(["" if label is None else label for label in labels], dtype=str)
    return AnsweredRows(sample, answers, truth, np.array([label is not None for label in labels], np.bool_))


def _number(label: str | None) -> float:
    """A value that came as feedback; what is no number says nothing."""
    try:
        return np.nan if label is None else float(label)
    except ValueError:
        return np.nan


def _matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of lists of equal length as float32 [N, length]."""
    values: NDArray[np.float32] = column.combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return values.reshape(len(column), len(values) // max(1, len(column)))
