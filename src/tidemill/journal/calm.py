"""Whether a disk may be written to without waiting: what an event loop asks before it does so itself.

A write to a file is a copy into the kernel's memory, some microseconds, which is less than handing it to another
thread. It becomes a wait of any length where the file system is somewhere else, where the kernel is made to bring its
memory to the disk at that moment, or where the disk has no more to give. Then somebody else must do it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SLOW_WRITE = 0.005  # seconds; one that took longer, and the disk is not calm for a while
SLOW_SYNC = 0.5
_A_WHILE = 10.0
_MOUNTS = Path("/proc/self/mountinfo")
_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "overlay"})
"""File systems of Linux that take a write into memory. Others (fuse, nfs, cifs, 9p) may ask somebody far away."""


class Calm:
    """Watches what was written into `folder`, and how long it took."""

    def __init__(self, folder: Path) -> None:
        self._local = file_system(folder) in _LOCAL
        self._waits = False
        self._from = 0.0  # by time.monotonic()

    def __bool__(self) -> bool:
        return self._local and not self._waits and time.monotonic() >= self._from

    def wrote(self, seconds: float) -> None:
        """A write took so long."""
        if seconds > SLOW_WRITE:
            self._from = time.monotonic() + _A_WHILE

    @contextmanager
    def syncing(self) -> Iterator[None]:
        """While the disk itself is waited for, a write may have to wait for the same."""
        began = time.monotonic()
        self._waits = True
        try:
            yield
        finally:
            if time.monotonic() - began > SLOW_SYNC:
                self._from = time.monotonic() + _A_WHILE
            self._waits = False


def file_system(folder: Path) -> str | None:
    """The name of the file system that holds `folder`, as Linux calls it; None where that cannot be told."""
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return None
    place, best, found = os.fsencode(folder.resolve()), b"", None
    for line in lines:
        mount, _, rest = line.partition(b" - ")
        point = mount.split(b" ")[4].replace(rb"\040", b" ")
        inside = place == point or place.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= len(best):  # of two at one place the later covers the earlier
            best, found = point, rest.split(b" ")[0].decode()
    return found
