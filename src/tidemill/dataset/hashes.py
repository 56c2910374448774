"""Row hashes of a data set of any size: in memory while they are few, in a file when they are many."""

from __future__ import annotations

import itertools
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HASH = 32
LIMIT = 500_000
"""Rows that are kept, and sorted, in memory at once."""


class Hashes:
    """Hashes of rows in the order in which they were added; beyond LIMIT rows they lie in a file under `scratch`.

    The file has no name, so that nothing of it is left when the process dies.
    """

    def __init__(self, scratch: Path | None = None) -> None:
        self._scratch = scratch
        self._parts: list[NDArray[np.uint8]] = []
        self._file: IO[bytes] | None = None
        self._count = 0
        self._leading = np.zeros(1 << 16, np.int64)

    def __len__(self) -> int:
        return self._count

    def add(self, hashes: NDArray[np.uint8]) -> None:
        """Take uint8 [N, 32] in."""
        if not len(hashes):
            return
        self._count += len(hashes)
        self._leading += np.bincount(_leading(hashes), minlength=1 << 16)
        if self._file is None and self._count > LIMIT:
            self._file = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115 - it lasts as long as this object
            weakref.finalize(self, self._file.close)
            for part in self._parts:
                self._file.write(part.tobytes())
            self._parts = []
        if self._file is not None:
            self._file.write(hashes.tobytes())
        else:
            self._parts.append(hashes)

    def chunks(self) -> Iterator[NDArray[np.uint8]]:
        """All of them in order, uint8 [n, 32] at a time."""
        if self._file is None:
            yield from self._parts
            return
        self._file.seek(0)
        while content := self._file.read(max(1, LIMIT // 2) * HASH):
            yield np.frombuffer(content, np.uint8).reshape(-1, HASH)

    def buckets(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """The rows in parts of about LIMIT at most, as `within` gives them.

        Every hash of a part is greater than all of the parts before: equal rows are in one part.
        """
        for low, high in self.bounds():
            yield self.within(low, high)

    def bounds(self) -> list[tuple[int, int]]:
        """Ranges of the first two bytes, from and below, that hold about LIMIT rows at most."""
        if self._count <= LIMIT:
            return [(0, 1 << 16)]
        part = (np.cumsum(self._leading) - 1) // LIMIT
        edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), 1 << 16]
        return list(itertools.pairwise(edges))

    def within(self, low: int, high: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """The rows whose first two bytes are in a range, as indices [n], ascending, and hashes uint8 [n, 32]."""
        indices, found, start = [np.empty(0, np.int64)], [np.empty((0, HASH), np.uint8)], 0
        for chunk in self.chunks():
            leading = _leading(chunk)
            inside = np.flatnonzero((leading >= low) & (leading < high))
            indices.append(inside + start)
            found.append(chunk[inside])
            start += len(chunk)
        return np.concatenate(indices), np.concatenate(found)


def _leading(hashes: NDArray[np.uint8]) -> NDArray[np.int64]:
    return hashes[:, 0].astype(np.int64) << 8 | hashes[:, 1]


def as_strings(hashes: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """Hashes uint8 [N, 32] as an array of 32-byte strings [N], which sort and compare as wholes."""
    return np.frombuffer(hashes.tobytes(), f"S{HASH}")


def ranks(hashes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many equal hashes come before each, int64 [N]."""
    rows = as_strings(hashes)
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(rows) else np.empty(0, bool)
    places = np.arange(len(rows))
    found = np.empty(len(rows), np.int64)
    found[order] = places - np.maximum.accumulate(np.where(starts, places, 0))
    return found


def counts_in(hashes: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each of `hashes` is among `others`, int64 [N]."""
    rows, known = as_strings(hashes), np.sort(as_strings(others))
    return np.searchsorted(known, rows, "right") - np.searchsorted(known, rows, "left")
