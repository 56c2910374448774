"""Predictions into the project's own log: a framed spool first, Parquet later (`tidemill.journal`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.prediction import Feedback, Prediction
from tidemill.journal.batches import batch_payload
from tidemill.journal.records import feedback_payload, prediction_payload
from tidemill.journal.writer import MUCH, Writer


class ParquetSink:
    """A writer of the log under `root`, with a spool of its own. Raises StorageError when that cannot be made.

    `tell` hears, from another thread, what cannot be made Parquet.
    """

    def __init__(self, root: Path, tell: Callable[[str], None] | None = None) -> None:
        self._writer = Writer(root, tell=tell)

    def append(self, predictions: Sequence[Prediction]) -> None:
        """On return all of them survive the death of the process. Raises StorageError, and then none is kept."""
        self._writer.append([prediction_payload(each) for each in predictions])

    def answered(self, batches: Sequence[Answered]) -> None:
        """As `append`, for what the server has answered."""
        self._writer.append([batch_payload(each) for each in batches], rows=sum(len(each.ids) for each in batches))

    def answered_at_once(self, batch: Answered) -> bool:
        """As `answered`, where nothing is waited for; or False, and nothing was written."""
        if not self._writer.calm or sum(len(each.content) for each in batch.asked) > MUCH:
            return False
        return self._writer.append_at_once(batch_payload(batch), len(batch.ids))

    def feedback(self, feedback: Sequence[Feedback]) -> None:
        """As `append`, for labels that came back."""
        self._writer.append([feedback_payload(each) for each in feedback])

    def close(self) -> None:
        """Let go of what was written, sealed where there is time for it."""
        self._writer.close()


if TYPE_CHECKING:
    from tidemill.ports import Answered, PredictionSink

    _: type[PredictionSink] = ParquetSink
