"""The project's prediction log, and the labels that come for what is in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tidemill.errors import InputError, ItemError
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.domain.bundle import Signature
    from tidemill.ports import PredictionLog


def log(layout: Layout) -> PredictionLog:
    """The project's prediction log; it may be read while servers write it."""
    from tidemill.backends.logs.parquet import ParquetLog

    return ParquetLog(layout.log)


def feedback(layout: Layout, pairs: Iterable[tuple[str, str]]) -> int:
    """Log true labels (or values, as text) for prediction ids; returns how many were new. All are taken, or none.

    Raises ItemError with the pair's index: for an id that is not in the log, and for a label that the model which
    answered does not know.
    """
    from tidemill.backends.sinks.parquet import ParquetSink
    from tidemill.bundle.read import read_record
    from tidemill.domain.prediction import Feedback
    from tidemill.domain.record import now
    from tidemill.journal.find import LoggedAnswers

    given = list(pairs)
    journal = LoggedAnswers(layout.log)
    found = journal.find_all([prediction_id for prediction_id, _ in given])
    signatures = {each: read_record(layout.bundle(each))[0].signature for each in {p.bundle for p in found.values()}}
    entries = []
    for index, (prediction_id, label) in enumerate(given):
        if prediction_id not in found:
            raise ItemError(
                index, f"no prediction {prediction_id[:60]!r} in the log", "ids come with each answer of the server"
            )
        prediction = found[prediction_id]
        entries.append(
            Feedback(prediction_id, _checked(index, signatures[prediction.bundle], label), now(), prediction.model)
        )
    known = journal.labels([entry.prediction_id for entry in entries])
    fresh = [e for e in entries if e.prediction_id not in known or known[e.prediction_id].label != e.label]
    if fresh:
        sink = ParquetSink(layout.log)
        try:
            sink.feedback(fresh)
        finally:
            sink.close()
    return len(fresh)


def _checked(index: int, signature: Signature, label: str) -> str:
    from tidemill.serve.feedback import check_label

    try:
        return check_label(signature, label)
    except InputError as error:
        raise ItemError(index, error.headline, error.remedy) from None
