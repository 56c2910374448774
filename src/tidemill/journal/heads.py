"""Looks a spool over, passing by what was asked: it may hold 64 MB of pictures. Needs no Arrow, but for tables."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from tidemill.errors import StorageError
from tidemill.journal.batches import is_batch
from tidemill.journal.frames import HEADER, check_header, frame, read_frame_at, read_frames
from tidemill.journal.records import read_payload
from tidemill.journal.tails import Tail

if TYPE_CHECKING:
    import pyarrow as pa

ANSWERED = ("id", "at", "model", "version", "bundle")
"""The columns that say which version gave which answer."""

_FRAME = len(frame(b""))  # bytes: a payload's length, and its CRC-32
_FEW = 8
"""Ids that are looked for in heads as bytes; for more, each head is read."""
_BATCH = 5  # bytes: a batch's mark, and the length of its head


class Heads(Tail):
    """A tail that keeps the heads of batches, in which ids are looked for as bytes.

    The CRC of a batch is checked where rows of it are read: one that does not fit raises StorageError then.
    """

    __slots__ = ("_batches", "_singles", "_whole", "held")

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._batches: list[tuple[int, bytes]] = []
        self._singles: list[dict[str, Any]] = []
        self._whole = 0  # bytes of the last batch's frame
        self.held = 0
        """Bytes of heads."""

    def advance(self) -> None:
        with self.path.open("rb") as file:
            check_header(file.read(len(HEADER)), self.path.name)
            size = os.fstat(file.fileno()).st_size
            file.seek(self.end)
            while length := self._take(file, size):
                self.end += length
                file.seek(self.end)
            self._drop_torn(file)
            self.ignored = size - self.end

    def answered(self) -> pa.Table:
        """Of all its predictions the columns in ANSWERED: nothing is made of what was asked."""
        import pyarrow as pa

        from tidemill.journal.columns import SCHEMAS
        from tidemill.journal.damage import readable

        rows = list(self._singles)
        with readable(self.path):
            for head in (orjson.loads(head[_BATCH:]) for _, head in self._batches):
                rows += ({**head, "id": id} for id in head["ids"])
        fields = [SCHEMAS["predictions"].field(name) for name in ANSWERED]
        return pa.table(
            [pa.array([row[field.name] for row in rows], field.type) for field in fields], pa.schema(fields)
        )

    def rows(self, ids: Collection[str]) -> list[dict[str, Any]]:
        missing = {id for id in ids if id not in self.predictions}
        said = [id.encode() for id in missing] if len(missing) <= _FEW else None
        for place, head in self._batches if missing else ():
            if said is None or any(each in head for each in said):
                found = enumerate(orjson.loads(head[_BATCH:])["ids"])
                self.predictions.update((id, (place, row)) for row, id in found if id in missing)
        return super().rows(ids)

    def _drop_torn(self, file: BinaryIO) -> None:
        """The last frame may be what a loss of power has left: then it does not count, here as elsewhere."""
        if self._batches and self._batches[-1][0] + self._whole == self.end:
            place, head = self._batches[-1]
            try:
                read_frame_at(file, place)
            except StorageError:
                self._batches.pop()
                self.held -= len(head)
                self.end = place

    def _take(self, file: BinaryIO, size: int) -> int:
        """Remember the frame at `end`; its length, 0 where no whole one is there."""
        head = file.read(_FRAME + _BATCH)
        whole = _FRAME + int.from_bytes(head[:4], "little")
        if len(head) <= _FRAME or whole == _FRAME or self.end + whole > size:  # lost power can leave zeros
            return 0
        if is_batch(head[_FRAME:]):
            more = int.from_bytes(head[_FRAME + 1 :], "little")
            if _FRAME + _BATCH + more > whole:
                return 0  # damaged: nothing behind it counts
            self._batches.append((self.end, head[_FRAME:] + file.read(more)))
            self.held += len(self._batches[-1][1])
            self._whole = whole
            return whole
        head = (head + file.read(max(0, whole - len(head))))[:whole]
        found = read_frames(head, 0).frames
        for fields in read_payload(found[0].payload) if found else ():
            if fields["kind"] == "prediction":
                self.predictions[fields["id"]] = self.end, 0
                self._singles.append({name: fields[name] for name in ANSWERED})
            else:
                self.feedback.append(fields)
        return whole if found else 0
