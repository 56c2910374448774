"""Looks a spool over, passing by what was asked: it may hold 64 MB of pictures. Needs no Arrow, but for tables."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from tidemill.journal.batches import glance, is_batch
from tidemill.journal.frames import HEADER, check_header, frame, read_frame_at, read_frames
from tidemill.journal.records import read_payload
from tidemill.journal.tails import Tail

if TYPE_CHECKING:
    import pyarrow as pa

ANSWERED = ("id", "at", "model", "version", "bundle")
"""The columns that say which version gave which answer."""

_FRAME = len(frame(b""))  # bytes: a payload's length, and its CRC-32
_BATCH = 5  # bytes: a batch's mark, and the length of its head


class Heads(Tail):
    """A tail that keeps the heads of batches, in which ids are looked for as bytes.

    The CRC of a batch is checked where rows of it are read: one that does not fit raises StorageError then.
    """

    __slots__ = ("_batches", "_singles")

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._batches: list[tuple[int, bytes]] = []
        self._singles: list[dict[str, Any]] = []

    def advance(self) -> None:
        with self.path.open("rb") as file:
            check_header(file.read(len(HEADER)), self.path.name)
            size = os.fstat(file.fileno()).st_size
            file.seek(self.end)
            while length := self._take(file, size):
                self.end += length
                file.seek(self.end)
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
        with suppress(FileNotFoundError):  # then it was sealed, and they are there
            for id in ids:
                if id not in self.predictions:
                    self._locate(id)
        return super().rows(ids)

    def _locate(self, id: str) -> None:
        said = id.encode()
        for place in [place for place, head in self._batches if said in head]:
            with self.path.open("rb") as file:
                ids = glance(read_frame_at(file, place)).ids
            self.predictions.update((id, (place, row)) for row, id in enumerate(ids))

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
