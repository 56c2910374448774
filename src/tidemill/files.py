"""Writing so that a crash at any instant leaves the old state or the new one: write beside, fsync, rename."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tidemill.errors import BusyError


def fsync_directory(directory: Path) -> None:
    """Make renames in `directory` durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write `content` to `path`: readers see the old file or the whole new one, also after a crash.

    `mode` is what a new file may be used for, before the process' umask.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def fsync_tree(directory: Path) -> None:
    """Make every file under `directory`, and the directory entries, durable."""
    for folder, _, names in os.walk(directory):
        for name in names:
            handle = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        fsync_directory(Path(folder))


@contextmanager
def staged_directory(final: Path, *, staging: Path) -> Iterator[Path]:
    """A directory to fill; on leaving without an error it is made durable and renamed to `final`.

    `staging` must be on the file system of `final`; what a killed process leaves there is debris that
    `sweep_staging` removes. If `final` exists already (somebody else finished the same content first), theirs stays.
    """
    staging.mkdir(parents=True, exist_ok=True)
    beside = staging / f"{os.getpid()}-{uuid.uuid4().hex}"
    beside.mkdir()
    try:
        yield beside
        fsync_tree(beside)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(beside, final)
        except OSError:
            if not final.is_dir():
                raise
        fsync_directory(final.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def link_or_copy(path: Path, to: Path) -> None:
    """A second name for a file that nobody changes; a copy where the file system cannot.

    What is at `to` is replaced, never written into: that may be the second name of another file.
    """
    beside = to.with_name(f".{to.name}.{uuid.uuid4().hex}.tmp")
    try:
        try:
            os.link(path, beside)
        except OSError:
            shutil.copyfile(path, beside)
        os.replace(beside, to)
    finally:
        beside.unlink(missing_ok=True)  # it stays where both were names of one file already


def process_lives(pid: int) -> bool:
    """Whether there is a process with this number, whoever's it is."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def sweep_staging(staging: Path) -> None:
    """Remove what processes that are no longer alive left in `staging`."""
    if not staging.is_dir():
        return
    for entry in staging.iterdir():
        owner = entry.name.split("-", 1)[0]
        if owner.isdigit() and not process_lives(int(owner)):
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)


@contextmanager
def locked(
    path: Path, *, timeout: float = 60.0, what: str = "this project", waiting: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold an exclusive lock on `path`, which the kernel releases when the process dies.

    `waiting` is called once, when somebody else holds it. Raises BusyError when the lock is not free
    within `timeout` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BusyError(
                        f"another command is working on {what}", "wait for it to finish, then run this again"
                    ) from None
                if waiting is not None:
                    waiting()
                    waiting = None
                time.sleep(0.05)
        yield
