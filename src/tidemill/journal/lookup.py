"""Finds single rows of the log, again and again: what cannot change of a sealed file is read once.

A sealed file is never written again. Its footer says from which id to which each of its row groups reaches, so that
only those that may hold an id are decoded; footers and the list of files are kept between calls. Of a running spool the
heads of its batches are read, and what was asked only where a row of it is wanted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.domain.prediction import Feedback, Prediction, is_prediction_id, prediction_time
from tidemill.journal.columns import to_rows
from tidemill.journal.damage import readable
from tidemill.journal.heads import Heads
from tidemill.journal.read import Journal
from tidemill.journal.records import to_feedback, to_prediction
from tidemill.journal.segments import Kind, Segment, segments
from tidemill.journal.tails import Tail, spools

FEW = 64
"""More ids than this at once are looked for in whole files, as `Journal` does."""

_SETTLED = 2_000_000_000  # ns: a folder that changed later than this before it was listed may have changed since
_KEY = {"predictions": "id", "feedback": "prediction_id"}
_Bounds = tuple[tuple[str, str] | None, ...]


class Lookup(Journal):
    """As `Journal`, quick for a few ids. Not to be used from two threads at once."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._lists: dict[Kind, tuple[int, list[Segment]]] = {}
        self._reaches: dict[Path, _Bounds] = {}

    def _advance(self) -> Mapping[str, Tail]:
        for path in spools(self.root):
            self._tails.setdefault(path.stem, Heads(path))
        return super()._advance()

    def find_all(self, prediction_ids: Iterable[str]) -> dict[str, Prediction]:
        """The predictions with these ids; ids that are not in the log are left out."""
        wanted = {each for each in prediction_ids if is_prediction_id(each)}
        if len(wanted) > FEW:
            return super().find_all(wanted)
        found = self.sealed(wanted)
        if missing := wanted.difference(found):
            for tail in self._advance().values():
                found.update((row["id"], to_prediction(row)) for row in tail.rows(missing))
            found.update(self.sealed(missing.difference(found)))  # a spool may have been sealed meanwhile
        return found

    def sealed(self, ids: Collection[str]) -> dict[str, Prediction]:
        """Of `ids` those that sealed files hold."""
        found: dict[str, Prediction] = {}
        times = {each: prediction_time(each) for each in ids}
        for segment in self._listed("predictions") if times else ():
            within = {each for each, time in times.items() if segment.first <= time <= segment.last}
            if within:
                found.update((row["id"], to_prediction(row)) for row in self._rows(segment, "predictions", within))
        return found

    def labels(self, prediction_ids: Collection[str]) -> dict[str, Feedback]:
        """The latest feedback for each of `prediction_ids` that has one."""
        wanted = set(prediction_ids)
        if len(wanted) > FEW:
            return super().labels(wanted)
        live = [row for tail in self._advance().values() for row in tail.feedback]
        rows = [row for row in live if row["prediction_id"] in wanted] + self.sealed_labels(wanted)
        return {row["prediction_id"]: to_feedback(row) for row in sorted(rows, key=lambda row: int(row["at"]))}

    def sealed_labels(self, prediction_ids: Collection[str]) -> list[dict[str, Any]]:
        """Of feedback for these ids the rows that sealed files hold."""
        files = self._listed("feedback")
        return [row for segment in files for row in self._rows(segment, "feedback", prediction_ids)]

    def _listed(self, kind: Kind) -> list[Segment]:
        """`segments`, listed anew only where the folder changed."""
        try:
            changed = (self.root / kind).stat().st_mtime_ns
        except FileNotFoundError:
            return []
        if kind in self._lists and self._lists[kind][0] == changed:
            return self._lists[kind][1]
        begun = time.time_ns()
        listed = segments(self.root, kind)
        self._lists.pop(kind, None)
        if changed < begun - _SETTLED:
            self._lists[kind] = changed, listed
        return listed

    def _rows(self, segment: Segment, kind: Kind, ids: Collection[str]) -> Iterator[dict[str, Any]]:
        """The rows with these ids; of a row group that holds none only the ids are read."""
        key = _KEY[kind]
        if segment.path not in self._reaches:
            with readable(segment.path):
                self._reaches[segment.path] = _reaches(_footer(segment.path, _stamp(segment.path)), key)
        groups = [at for at, reach in enumerate(self._reaches[segment.path]) if _may_hold(reach, ids)]
        if not groups:
            return
        footer = _footer(segment.path, _stamp(segment.path))
        with readable(segment.path), pq.ParquetFile(segment.path, metadata=footer) as file:
            for group in groups:
                held = file.read_row_group(group, columns=[key], use_threads=False)[key].to_pylist()
                places = [at for at, each in enumerate(held) if each in ids]
                if places:  # compared here: to give Arrow the ids loads pandas
                    table = file.read_row_group(group, use_threads=False)
                    yield from to_rows(pa.concat_tables(table.slice(at, 1) for at in places))


@lru_cache(maxsize=64)
def _footer(path: Path, stamp: tuple[int, int, int]) -> pq.FileMetaData:
    """The footer of the file that bears this stamp."""
    return pq.read_metadata(path)


def _stamp(path: Path) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _reaches(footer: pq.FileMetaData, key: str) -> _Bounds:
    """The least and the greatest `key` of each row group; None for one whose footer does not say."""
    column = footer.schema.names.index(key)
    found = (footer.row_group(at).column(column).statistics for at in range(footer.num_row_groups))
    return tuple((each.min, each.max) if each is not None and each.has_min_max else None for each in found)


def _may_hold(reach: tuple[str, str] | None, ids: Collection[str]) -> bool:
    return reach is None or any(reach[0] <= each <= reach[1] for each in ids)
