"""Reads spools: while they grow, and when nobody has sealed them yet. Needs no Arrow, but for whole tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.journal.batches import glance, is_batch, read_batch
from tidemill.journal.frames import HEADER, check_header, read_frame_at, read_frames
from tidemill.journal.records import read_payload

if TYPE_CHECKING:
    import pyarrow as pa


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
        """All its predictions as `columns.SCHEMAS` has them; none when it was sealed meanwhile: then they are there."""
        from tidemill.journal.columns import SCHEMAS, tables

        try:
            with self.path.open("rb") as file:
                frames = read_frames(file.read(self.end)).frames
        except FileNotFoundError:
            return SCHEMAS["predictions"].empty_table()
        return tables(frames)["predictions"]

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
