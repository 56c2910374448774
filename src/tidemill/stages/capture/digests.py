"""Digests of files, remembered by what the file system says of a file, so that unchanged data is read once."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from pathlib import Path

from tidemill.domain.digest import Digest

_WORTH = 64 * 1024  # bytes: a smaller file is read sooner than it is looked up
_RACY = 2_000_000_000  # ns: a file that was changed this recently may change again within its time stamp
_CHUNK = 1 << 20


class DigestCache:
    """Remembers in the SQLite file `path`; one that cannot be used is left out. Several threads may use it."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._known: sqlite3.Connection | None = None
        self._new: list[tuple[str, bytes]] = []

    def digest(self, path: str, now: os.stat_result) -> Digest | None:
        """SHA-256 of the file that `now` is the stat of; None when it changed while it was read. Raises OSError."""
        key = f"{now.st_dev}:{now.st_ino}:{now.st_size}:{now.st_mtime_ns}:{now.st_ctime_ns}"
        if now.st_size >= _WORTH and (known := self._look_up(key)) is not None:
            return known
        found = _sha256(path)
        after = os.stat(path)
        if (after.st_ino, after.st_size, after.st_mtime_ns) != (now.st_ino, now.st_size, now.st_mtime_ns):
            return None
        if now.st_size >= _WORTH and time.time_ns() - max(now.st_mtime_ns, now.st_ctime_ns) > _RACY:
            with self._lock:
                self._new.append((key, bytes.fromhex(found)))
        return Digest(f"sha256:{found}")

    def close(self) -> None:
        """Write what is new."""
        with self._lock:
            try:
                if self._new and (known := self._open()) is not None:
                    with known:
                        known.executemany("INSERT OR REPLACE INTO digest VALUES (?, ?)", self._new)
                if self._known is not None:
                    self._known.close()
            except sqlite3.Error:
                pass  # the next run reads those files again
            self._known, self._new = None, []

    def _look_up(self, key: str) -> Digest | None:
        with self._lock:
            try:
                known = self._open()
                row = known.execute("SELECT sha256 FROM digest WHERE key = ?", (key,)).fetchone() if known else None
            except sqlite3.Error:
                return None
        return Digest(f"sha256:{row[0].hex()}") if row else None

    def _open(self) -> sqlite3.Connection | None:
        if self._known is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._known = sqlite3.connect(self._path, timeout=2, check_same_thread=False)
            self._known.execute("PRAGMA journal_mode=WAL")
            self._known.execute("PRAGMA synchronous=NORMAL")
            self._known.execute("CREATE TABLE IF NOT EXISTS digest (key TEXT PRIMARY KEY, sha256 BLOB) WITHOUT ROWID")
        return self._known


def _sha256(path: str) -> str:
    """Never blocks on what became a FIFO meanwhile, and leaves the time of last access alone where it may."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        handle = os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:
        handle = os.open(path, flags)
    sha = hashlib.sha256()
    try:
        while chunk := os.read(handle, _CHUNK):
            sha.update(chunk)
    finally:
        os.close(handle)
    return sha.hexdigest()
