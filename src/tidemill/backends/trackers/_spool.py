"""What is said of one run, on disk until the tracking server has it.

    <local id>/entries    a header, then frames (journal/frames.py) of JSON, in order
    <local id>/files/N/   artefacts that wait
    <local id>/shipped    JSON: the offset up to which the server has the entries, and its id of the run
    <local id>/lock       held by the process that writes or ships; the kernel frees it when that process dies

An entry is there, whole, when `append` returns, also after a `kill -9`. Artefacts, the start and the end of a run are
fsynced before that, metrics at the latest a second later: a power cut may cost that second.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tidemill.errors import BusyError, StorageError, from_os_error
from tidemill.files import fsync_tree, write_atomic
from tidemill.journal.frames import frame, read_frames

HEADER = b"TMRUNS\x00\x01"
_SYNC_EVERY = 1.0  # seconds
_AT_ONCE = 4 * 2**20  # bytes read in one piece; a longer frame is read whole


class Entry(NamedTuple):
    """One thing said of the run, and where its frame ends."""

    said: Mapping[str, Any]
    end: int


class Spool:
    """The spool of one run, open in this process alone."""

    def __init__(self, folder: Path) -> None:
        """Open it. Raises BusyError when another has it open, FileNotFoundError, StorageError for a newer format."""
        self.folder = folder
        self._lock = _hold(folder)
        self._writing = threading.Lock()
        self._entries = (folder / "entries").open("a+b")
        self._synced = time.monotonic()
        self._files = sum(1 for _ in (folder / "files").iterdir()) if (folder / "files").is_dir() else 0
        try:
            self._repair()
        except BaseException:
            self.close()
            raise
        state = _read_state(folder)
        self.offset: int = max(len(HEADER), state["offset"])
        self.run: str | None = state["run"]

    @classmethod
    def new(cls, root: Path) -> Spool:
        """A spool for a new run, named by a local id of the form that MLflow's have."""
        folder = root / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return cls(folder)

    @property
    def local(self) -> str:
        """The run's local id."""
        return self.folder.name

    def append(self, said: Mapping[str, Any], *, durable: bool = False) -> None:
        """Add an entry. Raises StorageError, and then nothing of it is there."""
        content = frame(json.dumps(said).encode())
        with self._writing:
            try:
                self._write(content)
                if durable or time.monotonic() - self._synced > _SYNC_EVERY:
                    os.fsync(self._entries.fileno())
                    self._synced = time.monotonic()
            except OSError as error:
                raise from_os_error(error, "keeping what the tracking server is to get") from error

    def take(self, path: Path) -> str:
        """Copy a file or a directory into the spool; the name under which `file` finds it."""
        self._files += 1
        name = f"{self._files:05}-{uuid.uuid4().hex[:8]}"
        place = self.folder / "files" / name
        place.mkdir(parents=True)
        try:
            if path.is_dir():
                shutil.copytree(path, place / path.name)
            else:
                shutil.copy2(path, place)
            fsync_tree(place)
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)
            raise from_os_error(error, "keeping what the tracking server is to get") from error
        return name

    def file(self, name: str) -> Path:
        """The file or directory that was taken under `name`."""
        return next((self.folder / "files" / name).iterdir())

    def read(self) -> list[Entry]:
        """Entries that are not shipped yet, oldest first; at most a few megabytes of them."""
        with (self.folder / "entries").open("rb") as file:
            found = _frames_at(file, self.offset)
        return [Entry(json.loads(payload), end) for payload, end in found]

    def waiting(self) -> int:
        """How many entries are not shipped yet."""
        try:
            with (self.folder / "entries").open("rb") as file:
                file.seek(self.offset)
                return len(read_frames(file.read(), 0).frames)
        except FileNotFoundError:  # everything was, and the spool is gone
            return 0

    def adopted(self) -> str | None:
        """The id of the run that this spool goes on with, where another spool began it."""
        with (self.folder / "entries").open("rb") as file:
            first = _frames_at(file, len(HEADER))[:1]
        said = json.loads(first[0][0]) if first else {}
        return str(said["id"]) if said.get("kind") == "adopt" else None

    def shipped(self, offset: int, run: str | None) -> None:
        """Remember that the server has everything up to `offset`, of the run that it calls `run`."""
        write_atomic(self.folder / "shipped", json.dumps({"offset": offset, "run": run}).encode())
        self.offset, self.run = offset, run

    def drop(self, name: str) -> None:
        """Remove an artefact that the server has."""
        shutil.rmtree(self.folder / "files" / name, ignore_errors=True)

    def close(self, *, remove: bool = False) -> None:
        """Let others have it; with `remove` there is nothing left to have."""
        if remove:
            gone = self.folder.with_name(f".{self.local}.{os.getpid()}")
            os.rename(self.folder, gone)
            shutil.rmtree(gone, ignore_errors=True)
        self._entries.close()
        self._lock.close()

    def _write(self, content: bytes) -> None:
        size = os.fstat(self._entries.fileno()).st_size
        view = memoryview(content)
        try:
            while view:
                view = view[os.write(self._entries.fileno(), view) :]
        except OSError:
            os.ftruncate(self._entries.fileno(), size)
            raise

    def _repair(self) -> None:
        """Cut off what a killed writer left of an entry, so that the next one can be read."""
        size = os.fstat(self._entries.fileno()).st_size
        if size < len(HEADER):
            os.ftruncate(self._entries.fileno(), 0)
            os.write(self._entries.fileno(), HEADER)
            return
        self._entries.seek(0)
        content = self._entries.read()
        if not content.startswith(HEADER):
            raise StorageError(f"{self.folder} is not a spool of this version of Tidemill", "upgrade Tidemill")
        os.ftruncate(self._entries.fileno(), read_frames(content).end)


def waiting_spools(root: Path) -> Iterator[Spool]:
    """The spools that no living process has open, the oldest first, each open until the next is asked for."""
    if not root.is_dir():
        return
    for debris in root.glob(".*"):
        shutil.rmtree(debris, ignore_errors=True)
    folders = [each for each in root.iterdir() if each.is_dir()]
    for folder in sorted(folders, key=_age):
        try:
            spool = Spool(folder)
        except (BusyError, FileNotFoundError):
            continue
        yield spool


def _age(folder: Path) -> float:
    try:
        return (folder / "lock").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def known_run(root: Path, local: str) -> tuple[bool, str | None]:
    """Whether a spool of that local id is there, and the id that the server gave the run, if it has."""
    folder = root / local
    return (True, _read_state(folder)["run"]) if local and folder.is_dir() else (False, None)


def _frames_at(file: BinaryIO, offset: int) -> list[tuple[bytes, int]]:
    file.seek(offset)
    content = file.read(_AT_ONCE)
    found = read_frames(content, 0)
    if not found.frames and len(content) == _AT_ONCE:
        found = read_frames(content + file.read(), 0)
    following = [*(each.offset for each in found.frames[1:]), found.end]
    return [(each.payload, offset + end) for each, end in zip(found.frames, following, strict=False)]


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((folder / "shipped").read_bytes())
    except FileNotFoundError:
        return {"offset": 0, "run": None}
    return state


def _hold(folder: Path) -> BinaryIO:
    file = (folder / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise BusyError(f"another process writes the run {folder.name}", "wait until it ends") from None
    return file
