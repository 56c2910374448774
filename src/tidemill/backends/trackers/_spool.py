"""What is said of one run, on disk until the tracking server has it.

    <local id>/entries    a header, then frames (journal/frames.py) of JSON, in order
    <local id>/files/N/   artefacts that wait
    <local id>/shipped    JSON: the offset up to which the server has the entries, and its id of the run
    <local id>/lock       held by the process that writes or ships; the kernel frees it when that process dies
    .<name>/              being made or removed
    refused/              artefacts that the server will never take; refused.jsonl beside says why
    damaged/              entries files that a disk altered, as they were found

An entry is there, whole, when `append` returns, also after a `kill -9`. Artefacts, the start and the end of a run are
fsynced before that, metrics at the latest a second later: a power cut may cost that second. To send again what the
server has already is harmless, so that an unreadable `shipped` counts as nothing sent.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tidemill.backends.trackers._salvage import frame_end, salvage
from tidemill.errors import BusyError, StorageError, from_os_error
from tidemill.files import fsync_directory, fsync_tree, write_atomic
from tidemill.journal.frames import frame, join_frames, read_frames

HEADER = b"TMRUNS\x00\x01"
_SYNC_EVERY = 1.0  # seconds
_AT_ONCE = 4 * 2**20  # bytes read in one piece; a longer frame is read whole
_YOUNG = 3600.0  # seconds that a hidden folder is left alone: somebody may be making it
_REFUSED, _DAMAGED = "refused", "damaged"


class Entry(NamedTuple):
    """One thing said of the run, and where its frame ends."""

    said: Mapping[str, Any]
    end: int


class Spool:
    """The spool of one run, open in this process alone."""

    def __init__(self, folder: Path) -> None:
        """Open it. Raises BusyError when another has it open, FileNotFoundError, StorageError for a newer format.

        `damaged` is where the entries are as they were found, if they were altered; what is whole of them is here.
        """
        self.folder = folder
        self._lock = _hold(folder)
        self._writing = threading.Lock()
        self._synced = time.monotonic()
        self.damaged: Path | None = None
        try:
            self._entries = (folder / "entries").open("a+b")
        except OSError:
            self._lock.close()
            raise
        try:
            self._files = sum(1 for _ in (folder / "files").iterdir()) if (folder / "files").is_dir() else 0
            state = _read_state(folder)
            self.offset: int = self._repair(state["offset"])
            self.run: str | None = state["run"]
        except BaseException:
            self.close()
            raise

    @classmethod
    def new(cls, root: Path) -> Spool:
        """A spool for a new run, named by a local id of the form that MLflow's have.

        It has its lock and its header before others can see it.
        """
        folder = root / uuid.uuid4().hex
        hidden = folder.with_name(f".{folder.name}")
        hidden.mkdir(parents=True)
        spool = cls(hidden)
        fsync_directory(hidden)
        os.rename(hidden, folder)
        fsync_directory(root)
        spool.folder = folder
        return spool

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

    def file(self, name: str) -> Path | None:
        """The file or directory that was taken under `name`; None when it was dropped, since the server has it."""
        place = self.folder / "files" / name
        return next(place.iterdir(), None) if place.is_dir() else None

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

    def begun(self) -> Mapping[str, Any]:
        """The first entry: how the run began, or which one this spool goes on with. Empty where there is none."""
        with (self.folder / "entries").open("rb") as file:
            first = _frames_at(file, len(HEADER))[:1]
        return dict(json.loads(first[0][0])) if first else {}

    def adopted(self) -> str | None:
        """The id of the run that this spool goes on with, where another spool began it."""
        said = self.begun()
        return str(said["id"]) if said.get("kind") == "adopt" else None

    def address(self) -> str | None:
        """The tracking server that this is meant for; None where that was not recorded."""
        return self.begun().get("address")

    def headless(self) -> bool:
        """Whether the run's beginning is lost before the server heard of it, so that the rest belongs nowhere."""
        return self.run is None and self.waiting() > 0 and self.begun().get("kind") not in ("start", "adopt")

    def shipped(self, offset: int, run: str | None) -> None:
        """Remember that the server has everything up to `offset`, of the run that it calls `run`."""
        write_atomic(self.folder / "shipped", json.dumps({"offset": offset, "run": run}).encode())
        self.offset, self.run = offset, run

    def drop(self, name: str) -> None:
        """Remove an artefact that the server has."""
        shutil.rmtree(self.folder / "files" / name, ignore_errors=True)

    def refused(self, name: str) -> Path:
        """Where an artefact that the server will never take is moved by `set_aside`."""
        return self.folder.parent / _REFUSED / f"{self.local}-{name}"

    def set_aside(self, name: str) -> None:
        """Move an artefact where it stays when this spool is gone."""
        place = self.folder / "files" / name
        if place.is_dir():
            self.refused(name).parent.mkdir(exist_ok=True)
            os.rename(place, self.refused(name))

    def abandon(self) -> Path:
        """Close it and move all of it aside; where it is then."""
        place = self.folder.parent / _DAMAGED / self.local
        place.parent.mkdir(exist_ok=True)
        os.rename(self.folder, place)
        self.close()
        return place

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

    def _repair(self, offset: int) -> int:
        """Leave whole entries alone in the file, so that the next one can be read; `offset`, or where the first begins
        when no entry ends there."""
        self._entries.seek(0)
        content = self._entries.read()
        if len(content) < len(HEADER):
            os.ftruncate(self._entries.fileno(), 0)
            os.write(self._entries.fileno(), HEADER)
            return len(HEADER)
        if not content.startswith(HEADER):
            raise StorageError(
                f"{self.folder} is not a spool of this version of Tidemill", "upgrade Tidemill, or move it away"
            )
        frames, damaged = salvage(content, len(HEADER))
        offset = offset if offset in {frame_end(each) for each in frames} else len(HEADER)
        whole = content[:offset] + join_frames(each.payload for each in frames if each.offset >= offset)
        if whole != content:
            self._restore(content, whole, damaged=damaged)
        return offset

    def _restore(self, content: bytes, whole: bytes, *, damaged: bool) -> None:
        if damaged:
            self.damaged = self.folder.parent / _DAMAGED / f"{self.local}.entries"
            write_atomic(self.damaged, content)
        if content.startswith(whole):
            os.ftruncate(self._entries.fileno(), len(whole))
            return
        write_atomic(self.folder / "entries", whole)
        self._entries.close()
        self._entries = (self.folder / "entries").open("a+b")


def waiting_spools(root: Path, hear: Callable[[StorageError], None] | None = None) -> Iterator[Spool]:
    """The spools that no living process has open, the oldest first, each open until the next is asked for.

    One that cannot be opened is told to `hear`, or raised where nobody hears.
    """
    if not root.is_dir():
        return
    for debris in root.glob(".*"):
        if time.time() - _age(debris) > _YOUNG:
            shutil.rmtree(debris, ignore_errors=True)
    for folder in sorted((root / each for each in spools(root)), key=_age):
        try:
            spool = Spool(folder)
        except (BusyError, FileNotFoundError):
            continue
        except StorageError as error:
            if hear is None:
                raise
            hear(error)
            continue
        yield spool


def spools(root: Path) -> list[str]:
    """The local ids of the runs that have a spool, open or not."""
    names = os.listdir(root) if root.is_dir() else []
    return [each for each in names if not each.startswith(".") and (root / each / "entries").is_file()]


def _age(folder: Path) -> float:
    """When it was made, in seconds since 1970; now when it is gone already."""
    for each in (folder / "lock", folder):
        try:
            return each.stat().st_mtime
        except OSError:
            continue
    return time.time()


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
        state = json.loads((folder / "shipped").read_bytes())
        return {"offset": int(state["offset"]), "run": None if state["run"] is None else str(state["run"])}
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return {"offset": 0, "run": None}


def _hold(folder: Path) -> BinaryIO:
    file = (folder / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise BusyError(f"another process writes the run {folder.name}", "wait until it ends") from None
    return file
