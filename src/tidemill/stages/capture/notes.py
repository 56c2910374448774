"""The log that `shim/opens.c` writes into: made here, and read while the processes go on writing."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

OPENED, WROTE, RENAMED, STARTED = 1, 2, 3, 4

_FORMAT, _HEAD, _MAGIC = 1, 8192, 0x4C44544D
_NOTE = struct.Struct("=IIIiIIQQQqq")
_SMALL, _LARGE = (1 << 19, 32 << 20), (1 << 21, 256 << 20)  # slots of the table, bytes of the file


class Note(NamedTuple):
    """One sight. `text` is the absolute path, `other` the new one of a rename; of STARTED it is the command line.

    `size`, `changed` (mtime in ns), `device` and `inode` are the file's at that moment; `flags` those of open(2), of
    STARTED the parent's process id; `mode` is st_mode.
    """

    kind: int
    pid: int
    flags: int
    mode: int
    device: int
    inode: int
    size: int
    changed: int
    at: int
    text: str
    other: str


class NoteLog:
    """A log in the file `path`, which notes no file below the prefixes `skipped`.

    Its space is reserved first, so that a disk that fills up later cannot hurt a process that writes a note.
    Raises OSError when there is no space.
    """

    def __init__(self, path: Path, skipped: Sequence[str]) -> None:
        space = os.statvfs(path.parent)
        slots, size = _LARGE if space.f_bavail * space.f_frsize > (20 << 30) else _SMALL
        prefixes = b"".join(os.fsencode(each) + b"\0" for each in skipped)
        if len(prefixes) > _HEAD - 48:
            raise ValueError("too many prefixes")
        with path.open("w+b") as file:
            _reserve(file.fileno(), size)
            self._map = mmap.mmap(file.fileno(), size)
        self._map[:40] = struct.pack("=QQQQQ", _FORMAT, size, slots, 0, 0)
        self._map[40 : 40 + len(prefixes)] = prefixes
        self._start, self._at = _HEAD + slots * 8, 0
        self._room = size - self._start

    def read(self) -> Iterator[Note]:
        """The notes finished since the last call, oldest first."""
        used = min(struct.unpack_from("=Q", self._map, 24)[0], self._room)
        while self._at + _NOTE.size <= used:
            begin = self._start + self._at
            magic, size, kind, pid, flags, mode, device, inode, length, changed, at = _NOTE.unpack_from(
                self._map, begin
            )
            if magic != _MAGIC or not kind:
                return  # being written just now
            text = self._map[begin + _NOTE.size : begin + size]
            one, _, rest = text.partition(b"\0")
            self._at += size
            yield Note(
                kind, pid, flags, mode, device, inode, length, changed, at, os.fsdecode(one),
                os.fsdecode(rest.partition(b"\0")[0]),
            )  # fmt: skip

    def skip_unfinished(self) -> bool:
        """Go past a note whose writer died in the middle of it; whether there was one."""
        used = min(struct.unpack_from("=Q", self._map, 24)[0], self._room)
        while self._at + _NOTE.size <= used:
            magic, _, kind = struct.unpack_from("=III", self._map, self._start + self._at)
            if magic == _MAGIC and kind:
                return True
            self._at += 8
        return False

    @property
    def lost(self) -> int:
        """Notes that found no place."""
        return int(struct.unpack_from("=Q", self._map, 32)[0])

    def close(self) -> None:
        """Let go of the file; processes that still run keep theirs."""
        self._map.close()


def _reserve(handle: int, size: int) -> None:
    os.ftruncate(handle, size)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(handle, 0, ctypes.c_long(0), ctypes.c_long(size)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
