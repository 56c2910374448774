"""Sees by inotify which files of some folders are opened: the second choice, for it cannot tell by whom."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tidemill.stages.capture.notes import OPENED, WROTE, Note

_CLOSE_WRITE, _CLOSE_READ, _MOVED_TO, _CREATE = 0x8, 0x10, 0x80, 0x100
_OVERFLOW, _IS_DIR, _IGNORED = 0x4000, 0x40000000, 0x8000
_MASK = _CLOSE_READ | _CLOSE_WRITE | _MOVED_TO | _CREATE
_EVENT = struct.Struct("iIII")
_MOST = 20_000  # folders that are watched
_LEFT_OUT = frozenset((".git", ".tidemill", "node_modules", "__pycache__", ".dvc"))


class Watch:
    """Folders with all that is below them. `lost` counts overflows of the queue and folders beyond the limit."""

    def __init__(self, handle: int, libc: ctypes.CDLL, state: Path) -> None:
        self._handle, self._libc, self._state = handle, libc, str(state)
        self._folders: dict[int, str] = {}
        self._began = time.time_ns()
        self.lost = 0

    @classmethod
    def begin(cls, folders: Iterable[Path], state: Path) -> Watch | None:
        """None where there is no inotify."""
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "inotify_init1"):
            return None
        handle = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if handle < 0:
            return None
        watch = cls(handle, libc, state)
        for folder in dict.fromkeys(str(each.resolve()) for each in folders):
            if folder != "/" and folder != os.path.expanduser("~"):
                watch._add(folder)
        return watch

    def notes(self) -> Iterator[Note]:
        """What was seen since the last call."""
        while True:
            try:
                buffer = os.read(self._handle, 1 << 16)
            except BlockingIOError:
                return
            at = 0
            while at < len(buffer):
                number, mask, _, length = _EVENT.unpack_from(buffer, at)
                name = os.fsdecode(buffer[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0"))
                at += _EVENT.size + length
                yield from self._note(number, mask, name)

    def _note(self, number: int, mask: int, name: str) -> Iterator[Note]:
        if mask & _OVERFLOW:
            self.lost += 1
        folder = self._folders.get(number)
        if folder is None or not name or mask & _IGNORED:
            return
        path = f"{folder}/{name}"
        if mask & _IS_DIR:
            if mask & (_CREATE | _MOVED_TO) and name not in _LEFT_OUT:
                self._add(path)
                yield from self._written_before(path)
            return
        with contextlib.suppress(OSError):
            found = os.stat(path)
            if stat.S_ISREG(found.st_mode) and not mask & _CREATE:
                yield _of(path, found, OPENED if mask & _CLOSE_READ else WROTE)

    def _written_before(self, folder: str) -> Iterator[Note]:
        """What came into a new folder before it was watched."""
        for place, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(OSError):
                    found = os.stat(f"{place}/{name}")
                    if stat.S_ISREG(found.st_mode) and found.st_mtime_ns >= self._began - 10_000_000:
                        yield _of(f"{place}/{name}", found, WROTE)

    def _add(self, folder: str) -> None:
        for place, names, _ in os.walk(folder):
            names[:] = [
                name for name in names if name not in _LEFT_OUT and not os.path.exists(f"{place}/{name}/pyvenv.cfg")
            ]
            if place.startswith(self._state):
                continue
            if len(self._folders) >= _MOST:
                self.lost += 1
                return
            number = self._libc.inotify_add_watch(self._handle, os.fsencode(place), _MASK)
            if number < 0:
                self.lost += 1
                continue
            self._folders[number] = place


def _of(path: str, found: os.stat_result, kind: int) -> Note:
    return Note(
        kind, 0, os.O_WRONLY if kind == WROTE else 0, found.st_mode, found.st_dev, found.st_ino, found.st_size,
        found.st_mtime_ns, time.time_ns(), path, "",
    )  # fmt: skip
