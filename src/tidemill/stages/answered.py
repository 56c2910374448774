"""Answered rows of one model version as arrays: a window of the log, or the reference sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.ports import Sample
from tidemill.stages.inputs import describe

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.domain.bundle import Signature
    from tidemill.ports import Raw


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


def answered_rows(
    signature: Signature,
    preprocessor: Preprocessor,
    inputs: Sequence[Raw],
    scores: NDArray[np.float32],
    embedding: NDArray[np.float32],
    labels: Sequence[str | float | None],
) -> AnsweredRows:
    """Rows from what a bundle's reference, or the log, holds: scores [N, C], embedding [N, D], N labels or None.

    `inputs` are those that were kept, in any number.
    """
    sample = Sample(scores, embedding, describe(preprocessor, inputs))
    if signature.kind == "regression":
        values = np.array([_number(label) for label in labels], np.float64)
        return AnsweredRows(sample, scores[:, 0].astype(np.float64), values, np.isfinite(values))
    answers = np.array(signature.labels, dtype=str)[scores.argmax(axis=1)]
    truth = np.array(["" if label is None else str(label) for label in labels], dtype=str)
    return AnsweredRows(sample, answers, truth, np.array([label is not None for label in labels], np.bool_))


def _number(label: str | float | None) -> float:
    """A value that came as feedback; what is no number says nothing."""
    try:
        return float(label) if label is not None else np.nan
    except ValueError:
        return np.nan


def window_rows(signature: Signature, preprocessor: Preprocessor, table: pa.Table) -> AnsweredRows:
    """Rows of `PredictionLog.window`, of one model version."""
    from tidemill.bundle.preprocess import raw_input

    inputs = [raw_input(signature.task, kept) for kept in table["input"].to_pylist() if kept is not None]
    return answered_rows(
        signature,
        preprocessor,
        inputs,
        matrix(table["scores"]),
        matrix(table["embedding"]),
        table["label"].to_pylist(),
    )


def matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of lists of equal length as float32 [N, length]."""
    values: NDArray[np.float32] = column.combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return values.reshape(len(column), len(values) // max(1, len(column)))
