"""What is known of each file that a run touched: noted while it runs, digested as early as can be."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from tidemill.domain.digest import Digest
from tidemill.stages.capture.notes import OPENED, RENAMED, STARTED, WROTE, Note
from tidemill.stages.capture.paths import kind_of, source_of

_FEW, _THREADS = 32, 4
_INODES = 16  # remembered of a path that is written anew again and again
State = Literal["as read", "changed", "gone", "unreadable"]
DigestOf = Callable[[str, os.stat_result], Digest | None]
"""The digest of the file at a path; None when it changed while it was read. Raises OSError."""


@dataclass(slots=True)
class Sight:
    """One file. `read` is its inode, size and mtime when it was first opened for reading; `pid` who did so."""

    pid: int
    code: bool
    read: tuple[int, int, int] | None = None
    before: tuple[int, int, int] | None = None  # when it was first opened for writing as well as reading
    wrote: bool = False
    inodes: tuple[int, ...] = ()  # when it was opened for writing, the last few
    digest: Digest | None = None  # of what was read
    size: int = 0
    state: State | None = None
    written: Digest | None = None
    written_size: int = 0


class FileTable:
    """Files by absolute path. `root` is the folder of the run, `state` where Tidemill keeps its own."""

    def __init__(self, root: str, state: str, digest: DigestOf) -> None:
        self._root, self._state, self._digest = root, state, digest
        self.files: dict[str, Sight] = {}
        self.processes: dict[int, tuple[int, str]] = {}  # process id -> its parent's, its command line
        self.started = 0
        self._waiting: deque[str] = deque()

    def see(self, note: Note) -> None:
        """Take one note."""
        if note.kind == STARTED:
            self.started += 1
            if len(self.processes) < 1000:
                self.processes[note.pid] = (note.flags, note.text.strip("\x1f").replace("\x1f", " "))
        elif note.kind == RENAMED:
            self._rename(os.path.normpath(note.text), os.path.normpath(note.other), note)
        elif note.kind in (OPENED, WROTE):
            self._open(note)

    def _open(self, note: Note) -> None:
        path = os.path.normpath(note.text)
        if note.kind == OPENED and path.endswith(".pyc"):
            path = source_of(path)
        sight = self.files.get(path)
        if sight is None:
            kind = kind_of(path, self._root, self._state)
            if kind == "none":
                return
            sight = self.files[path] = Sight(note.pid, kind == "code")
        seen = (note.inode, note.size, note.changed)
        if note.kind == WROTE:
            if note.flags & os.O_ACCMODE == os.O_RDWR and not note.flags & os.O_TRUNC and sight.before is None:
                sight.before = seen
            sight.wrote, sight.inodes = True, (*sight.inodes[-_INODES:], note.inode)
        elif sight.read is None and not sight.wrote:
            sight.read = seen
            self._waiting.append(path)
        elif sight.read is not None and sight.read != seen and not sight.code:
            sight.state = sight.state or "changed"

    def _rename(self, old: str, new: str, note: Note) -> None:
        if stat.S_ISDIR(note.mode):
            inside = [path for path in self.files if path.startswith(f"{old}/")]
            for path in inside:
                self._move(path, new + path[len(old) :], note.pid)
        else:
            self._move(old, new, note.pid)

    def _move(self, old: str, new: str, pid: int) -> None:
        sight = self.files.get(old)
        kind = kind_of(new, self._root, self._state)
        if kind == "none":
            return
        if sight is not None and sight.read is None:
            del self.files[old]
        self.files.setdefault(new, Sight(pid, kind == "code")).wrote = True

    def digest_one(self) -> bool:
        """Digest the file that has waited longest; False when none waits."""
        if not self._waiting:
            return False
        try:
            path = self._waiting.popleft()
        except IndexError:
            return False  # another thread took it
        sight = self.files.get(path)
        if sight is not None and sight.digest is None and sight.read is not None:
            self._digest_read(path, sight, sight.read)
        return True

    def _digest_read(self, path: str, sight: Sight, seen: tuple[int, int, int]) -> None:
        try:
            now = os.stat(path)
            if not stat.S_ISREG(now.st_mode):
                sight.state = "unreadable"
                return
            sight.size = seen[1] if not sight.code else now.st_size
            same = sight.code or (now.st_ino, now.st_size, now.st_mtime_ns) == seen
            sight.digest = self._digest(path, now) if same else None
            sight.state = sight.state or ("as read" if sight.digest else "changed")
        except FileNotFoundError:
            sight.size, sight.state = seen[1], "gone"
        except OSError:
            sight.size, sight.state = seen[1], "unreadable"

    def finish(self) -> None:
        """Digest what still waits, and what was written and is still there. What is not there any more is forgotten."""
        if len(self._waiting) > _FEW:
            with ThreadPoolExecutor(_THREADS) as pool:
                for _ in range(_THREADS):
                    pool.submit(self._digest_all)
        self._digest_all()
        self._find_renamed()
        for path, sight in list(self.files.items()):
            if sight.wrote:
                self._finish_written(path, sight)
        for path in [path for path, sight in self.files.items() if sight.read is None and not sight.wrote]:
            del self.files[path]

    def _find_renamed(self) -> None:
        """Written files that went away under another name of their folder, which nobody noted: Rust's `tempfile`, as
        safetensors uses it, renames by a system call of its own."""
        gone: dict[str, dict[int, tuple[str, int]]] = {}
        for path, sight in self.files.items():
            if sight.wrote and not os.path.lexists(path):
                inside = gone.setdefault(os.path.dirname(path), {})
                inside.update((inode, (path, sight.pid)) for inode in sight.inodes if inode)
        for folder, inodes in gone.items():
            named: dict[str, int] = {}
            with suppress(OSError), os.scandir(folder) as entries:
                named = {each.path: each.inode() for each in entries}
            for new, inode in named.items():
                if inode in inodes:
                    self._move(inodes[inode][0], new, inodes[inode][1])
                found = self.files.get(new)
                if found is not None and found.wrote and found.read is not None and found.read[0] in inodes:
                    found.read = None  # what it wrote itself is no input

    def _digest_all(self) -> None:
        while self.digest_one():
            pass

    def _finish_written(self, path: str, sight: Sight) -> None:
        try:
            now = os.stat(path)
        except OSError:
            sight.wrote = False
            return
        if not stat.S_ISREG(now.st_mode):
            sight.wrote = False
            return
        if sight.before == (now.st_ino, now.st_size, now.st_mtime_ns):  # opened for both, and only read
            sight.wrote, sight.read = False, sight.before
            self._digest_read(path, sight, sight.before)
            return
        sight.written_size = now.st_size
        try:
            sight.written = self._digest(path, now)
        except OSError:
            return  # listed without a digest
        if sight.read is not None and sight.digest is not None and sight.digest == sight.written:
            sight.wrote = False  # written again with the content it had
