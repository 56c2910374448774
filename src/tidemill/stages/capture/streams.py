"""The output of a script: passed on byte for byte as it comes, and kept."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
import sys
import termios
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

_CHUNK = 1 << 16
_PIPE = 1 << 20
_LINGER = 0.25  # seconds that children which outlive the script are waited for
LONGEST = 64 << 20  # bytes of one stream that are kept; the rest is passed on only


@dataclass(slots=True)
class Stream:
    """`outer` is where the bytes go, `inner` what the script writes to, `reader` our end of it."""

    name: str
    targets: tuple[int, ...]  # of the script's descriptors: 1, 2 or both
    outer: int
    reader: int
    inner: int
    terminal: bool
    size: int = 0
    kept: int = 0
    problem: str = ""
    _thread: threading.Thread | None = field(default=None, repr=False)
    _stop: tuple[int, int] = field(default=(-1, -1), repr=False)
    open: bool = True

    def start(self, folder: Path) -> None:
        """Pass on and keep, in a thread; the script has its own copy of `inner` by now."""
        os.close(self.inner)
        self._stop = os.pipe()
        self._thread = threading.Thread(target=self._copy, args=(folder / self.name,), name=self.name, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Pass on what is there, and end; what others still write afterwards is not kept. `open` says if they may."""
        os.write(self._stop[1], b"x")
        if self._thread is not None:
            self._thread.join()

    def relay(self) -> None:
        """Pass on until the last writer is gone; nothing is kept."""
        while (chunk := self._read()) and self._pass_on(chunk):
            pass

    def follow_size(self) -> None:
        """Give the script's terminal the size of ours."""
        if self.terminal:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self.reader, termios.TIOCSWINSZ, fcntl.ioctl(self.outer, termios.TIOCGWINSZ, b"\0" * 8))

    def _copy(self, path: Path) -> None:
        poll = select.poll()
        poll.register(self.reader, select.POLLIN)
        poll.register(self._stop[0], select.POLLIN)
        keeping: int | None = None
        until, owed = 0.0, 0  # when to end, and what the script had written by its end and is not read yet
        try:
            keeping = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            while True:
                ready = dict(poll.poll(None if not until else 1000 * max(0.0, until - time.monotonic())))
                if self._stop[0] in ready:
                    poll.unregister(self._stop[0])
                    until, owed = time.monotonic() + _LINGER, self._unread()
                if until and owed <= 0 and time.monotonic() >= until:
                    return  # somebody else still has the output
                if self.reader not in ready:
                    continue
                chunk = self._read()
                if not chunk:
                    self.open = False
                    return
                self.size += len(chunk)
                if not self._pass_on(chunk):
                    return
                self._keep(keeping, chunk)
                if owed > 0:
                    owed, until = owed - len(chunk), time.monotonic() + _LINGER
        finally:
            if keeping is not None:
                os.close(keeping)

    def _unread(self) -> int:
        """Bytes that lie in the pipe or terminal."""
        with contextlib.suppress(OSError):
            return int.from_bytes(fcntl.ioctl(self.reader, termios.FIONREAD, b"\0" * 4), sys.byteorder)
        return 0

    def _read(self) -> bytes:
        try:
            return os.read(self.reader, _CHUNK)
        except OSError:  # EIO: the last one who had the terminal is gone
            return b""

    def _pass_on(self, chunk: bytes) -> bool:
        """False when nobody reads any more: then the script learns it as it would have."""
        view = memoryview(chunk)
        while view:
            try:
                view = view[os.write(self.outer, view) :]
            except BlockingIOError:
                select.select((), (self.outer,), ())
            except OSError as error:
                if error.errno != errno.EPIPE:
                    self.problem = f"the output could not be written: {error.strerror}"
                os.close(self.reader)
                self.open = False
                return False
        return True

    def _keep(self, handle: int, chunk: bytes) -> None:
        if self.problem or self.kept >= LONGEST:
            self.problem = self.problem or f"only the first {LONGEST >> 20} MB are kept"
            return
        try:
            self.kept += os.write(handle, chunk)
        except OSError as error:
            self.problem = f"not all is kept: {error.strerror}"


def open_streams() -> list[Stream]:
    """One for standard output and one for standard error; one for both where they are the same file.

    Where ours is a terminal the script gets a terminal; it does no processing, for ours does.
    """
    places = {fd: _place(fd) for fd in (1, 2)}
    if places[1] is not None and places[1] == places[2]:
        return [_stream("output.txt", (1, 2))]
    return [_stream(name, (fd,)) for fd, name in ((1, "stdout.txt"), (2, "stderr.txt")) if places[fd] is not None]


def _place(fd: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(fd)
    except OSError:
        return None  # closed: the script finds it closed, too
    if stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode) or stat.S_ISREG(found.st_mode):
        return found.st_dev, found.st_ino
    return found.st_rdev, -1


def _stream(name: str, targets: tuple[int, ...]) -> Stream:
    outer = targets[0]
    terminal = os.isatty(outer)
    if terminal:
        reader, inner = os.openpty()
        settings = termios.tcgetattr(outer)
        settings[1] &= ~termios.OPOST
        termios.tcsetattr(inner, termios.TCSANOW, settings)
    else:
        reader, inner = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(inner, getattr(fcntl, "F_SETPIPE_SZ", 1031), _PIPE)
    stream = Stream(name, targets, os.dup(outer), reader, inner, terminal)
    stream.follow_size()
    return stream
