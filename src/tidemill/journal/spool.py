"""One spool file, held by one writer. What `append` returned from survives the death of the process."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tidemill.domain.prediction import new_prediction_id
from tidemill.errors import StorageError, from_os_error
from tidemill.journal.frames import HEADER, join_frames

SUFFIX = ".spool"


class Spool:
    """A file of frames that only this object appends to.

    It is locked (flock) as long as the object and its process live: who gets the lock knows that the writer is dead.
    """

    def __init__(self, folder: Path) -> None:
        """Make a new spool in `folder`. It has its header and its lock before it has its name."""
        folder.mkdir(parents=True, exist_ok=True)
        self.stem = f"{new_prediction_id()}-{os.getpid()}"
        self.path = folder / f"{self.stem}{SUFFIX}"
        self.rows = 0
        self.size = len(HEADER)
        self.opened = time.monotonic()
        self.sound = True
        beside = folder / f".{self.stem}.tmp"
        self._file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            os.write(self._file, HEADER)
            if os.fstat(self._file).st_size != self.size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.rename(beside, self.path)
        except BaseException:
            os.close(self._file)
            beside.unlink(missing_ok=True)
            raise

    def append(self, payloads: Sequence[bytes], rows: int) -> None:
        """Write all of `payloads` with one system call, or none of them. Raises StorageError."""
        content = join_frames(payloads)
        try:
            written = os.write(self._file, content)
            if written != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._take_back()
            raise _failure(error) from None
        self.size += written
        self.rows += rows

    def sync(self) -> None:
        """Make it survive the loss of power, too. Raises StorageError; the spool is then not to be trusted further."""
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self.sound = False
            raise _failure(error) from None

    def close(self) -> None:
        """Give the lock back. The file stays as it is."""
        os.close(self._file)

    def _take_back(self) -> None:
        """Remove a part of a batch; where that fails, frames behind it would not be found: `sound` is False then."""
        try:
            os.ftruncate(self._file, self.size)
        except OSError:
            self.sound = False


def _failure(error: OSError) -> StorageError:
    failure = from_os_error(error, "writing the prediction log")
    if isinstance(failure, StorageError):
        return failure
    return StorageError(failure.headline, failure.remedy)


@contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Whether the spool's writer is gone; if so, its lock is held inside the `with` block and nobody else seals it.

    One that cannot be opened or locked, such as another user's, is not free.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        yield _lock(file, path)
    finally:
        os.close(file)


def _lock(file: int, path: Path) -> bool:
    """Whether `file` is locked now and still at `path`: before that, another process may have sealed and removed it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(file).st_ino == path.stat().st_ino
    except OSError:
        return False
