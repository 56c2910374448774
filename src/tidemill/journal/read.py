"""Reads the log while it is being written: sealed segments and spools together, each row once.

Spools are read before the sealed segments are listed. A spool that is sealed meanwhile is then seen in both forms, and
its sealed form counts; one that vanished has become a segment that the listing sees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidemill.domain.prediction import Feedback, Prediction, is_prediction_id, prediction_time
from tidemill.errors import NotFoundError
from tidemill.journal.columns import SCHEMAS, to_rows, to_table
from tidemill.journal.damage import readable
from tidemill.journal.records import to_feedback, to_prediction
from tidemill.journal.segments import Kind, Segment, segments
from tidemill.journal.tails import Tail, may_hold, spools


class Journal:
    """The log under `root`, as it is at each call. Keeps its place in running spools between calls.

    Not to be used from two threads at once.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tails: dict[str, Tail] = {}

    def predictions(
        self, *, model: str | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> pa.Table:
        """Rows as `columns.SCHEMAS` has them, oldest first; `since` and `until` are both inclusive."""
        condition = _condition(model, since, until)
        live = {}
        for path in spools(self.root):
            if may_hold(path, since, until):
                table = Tail(path).table()
                live[path.stem] = table if condition is None else table.filter(condition)
        tables = [SCHEMAS["predictions"].empty_table()]
        for segment in segments(self.root, "predictions"):
            live.pop(segment.stem, None)
            if (since is None or segment.last >= since) and (until is None or segment.first <= until):
                tables.append(_read(segment, "predictions", condition))
        tables += live.values()
        return pa.concat_tables(tables).sort_by([("at", "ascending"), ("id", "ascending")])

    def feedback(self, prediction_ids: Collection[str] | None = None) -> pa.Table:
        """All feedback, or that for `prediction_ids`, as it came; an id may be there several times."""
        live = {stem: list(tail.feedback) for stem, tail in self._advance().items()}
        condition = None if prediction_ids is None else _is_one_of("prediction_id", list(prediction_ids))
        tables = [SCHEMAS["feedback"].empty_table()]
        for segment in segments(self.root, "feedback"):
            live.pop(segment.stem, None)
            tables.append(_read(segment, "feedback", condition))
        for rows in live.values():
            table = to_table("feedback", rows)
            tables.append(table if condition is None else table.filter(condition))
        return pa.concat_tables(tables).sort_by("at")

    def labels(self, prediction_ids: Collection[str]) -> dict[str, Feedback]:
        """The latest feedback for each of `prediction_ids` that has one."""
        return {row["prediction_id"]: to_feedback(row) for row in to_rows(self.feedback(prediction_ids))}

    def find_all(self, prediction_ids: Iterable[str]) -> dict[str, Prediction]:
        """The predictions with these ids; ids that are not in the log are left out."""
        wanted = {each for each in prediction_ids if is_prediction_id(each)}
        found: dict[str, Prediction] = {}
        for tail in self._advance().values():
            found.update((row["id"], to_prediction(row)) for row in tail.rows(wanted))
        missing = {each: prediction_time(each) for each in wanted.difference(found)}
        for segment in segments(self.root, "predictions") if missing else ():
            within = [each for each, time in missing.items() if segment.first <= time <= segment.last]
            if within:
                table = _read(segment, "predictions", _among(within))
                found.update((row["id"], to_prediction(row)) for row in to_rows(table))
        return found

    def find(self, prediction_id: str) -> Prediction:
        """Raises NotFoundError."""
        found = self.find_all([prediction_id])
        if prediction_id in found:
            return found[prediction_id]
        if is_prediction_id(prediction_id):
            raise NotFoundError(f"no prediction {prediction_id} in the log", "ids come with each answer of the server")
        raise NotFoundError(
            f"{prediction_id[:60]!r} is no prediction id", "an id has 26 letters and digits; it comes with each answer"
        )

    def _advance(self) -> Mapping[str, Tail]:
        """Spools as they are now; those sealed since the last time are forgotten."""
        tails: dict[str, Tail] = {}
        for path in spools(self.root):
            tail = self._tails.get(path.stem) or Tail(path)
            try:
                tail.advance()
            except FileNotFoundError:
                continue
            tails[path.stem] = tail
        self._tails = tails
        return tails


def _read(segment: Segment, kind: Kind, condition: Any) -> pa.Table:
    with readable(segment.path):
        return pq.read_table(segment.path, schema=SCHEMAS[kind], filters=condition, use_threads=False)


def _among(ids: list[str]) -> Any:
    """The bounds let row groups be skipped by their statistics."""
    return (pc.field("id") >= min(ids)) & (pc.field("id") <= max(ids)) & _is_one_of("id", ids)


def _is_one_of(column: str, ids: list[str]) -> Any:
    """With a typed array: an empty list has no type of its own."""
    return pc.field(column).isin(pa.array(ids, pa.string()))


def _condition(model: str | None, since: datetime | None, until: datetime | None) -> Any:
    condition = None
    parts = []
    if model is not None:
        parts.append(pc.field("model") == model)
    if since is not None:
        parts.append(pc.field("at") >= pa.scalar(since, SCHEMAS["predictions"].field("at").type))
    if until is not None:
        parts.append(pc.field("at") <= pa.scalar(until, SCHEMAS["predictions"].field("at").type))
    for part in parts:
        condition = part if condition is None else condition & part
    return condition
