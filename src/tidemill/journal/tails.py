"""Reads spools: while they grow, and when nobody has sealed them yet. Needs no Arrow, but for whole tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.domain.prediction import prediction_time
from tidemill.journal.batches import glance, is_batch, read_batch
from tidemill.journal.frames import HEADER, check_header, read_frame_at, read_frames
from tidemill.journal.records import read_payload
from tidemill.journal.spool import SUFFIX

if TYPE_CHECKING:
    import pyarrow as pa

_SLACK = timedelta(minutes=1)
"""An id is made before its answer is written, and clocks are set."""
_ID = 26  # letters of the id with which a spool's name begins


def spools(root: Path) -> list[Path]:
    """The spools of the log under `root`, the oldest first."""
    return sorted((root / "spool").glob(f"*{SUFFIX}"))


def may_hold(spool: Path, since: datetime | None, until: datetime | None) -> bool:
    """Whether a spool can have rows from `since` to `until`: its name says when it was made, its last change is its
    last row."""
    try:
        last = datetime.fromtimestamp(spool.stat().st_mtime, UTC)
        first = prediction_time(spool.name[:_ID])
    except (OSError, ValueError):
        return True
    return (since is None or since <= last + _SLACK) and (until is None or until >= first - _SLACK)


@dataclass(slots=True)
class Tail:
    """What was read of a spool so far: the byte to go on from, of each prediction the place of its frame and its own in
    that, and all feedback."""

    path: Path
    end: int = len(HEADER)
    predictions: dict[str, tuple[int, int]] = field(default_factory=dict)
    feedback: list[dict[str, Any]] = field(default_factory=list)
    ignored: int = 0

    def advance(self) -> None:
        """Read what was appended since the last time. Raises FileNotFoundError when the spool was sealed."""
        with self.path.open("rb") as file:
            check_header(file.read(len(HEADER)), self.path.name)
            file.seek(self.end)
            content = file.read()
        read = read_frames(content, 0)
        for each in read.frames:
            place = self.end + each.offset
            if is_batch(each.payload):
                self.predictions.update((id, (place, row)) for row, id in enumerate(glance(each.payload).ids))
                continue
            [fields] = read_payload(each.payload)
            if fields["kind"] == "prediction":
                self.predictions[fields["id"]] = place, 0
            else:
                self.feedback.append(fields)
        self.end += read.end
        self.ignored = read.ignored

    def table(self) -> pa.Table:
        """All its predictions as `columns.SCHEMAS` has them; none where it was sealed meanwhile."""
        from tidemill.journal.columns import SCHEMAS, tables

        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return SCHEMAS["predictions"].empty_table()
        check_header(content, self.path.name)
        return tables(read_frames(content).frames)["predictions"]

    def rows(self, ids: Collection[str]) -> list[dict[str, Any]]:
        """The predictions with `ids`; none when the spool was sealed meanwhile, for then they are there."""
        wanted: dict[int, set[int]] = {}
        for place, row in (self.predictions[each] for each in ids if each in self.predictions):
            wanted.setdefault(place, set()).add(row)
        if not wanted:
            return []
        try:
            with self.path.open("rb") as file:
                return [row for place in wanted for row in _rows(read_frame_at(file, place), wanted[place])]
        except FileNotFoundError:
            return []


def _rows(payload: bytes, wanted: Collection[int]) -> list[dict[str, Any]]:
    return list(read_batch(payload, wanted)) if is_batch(payload) else read_payload(payload)
