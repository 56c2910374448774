"""Model servers as processes: which run in this project, and how one is started and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tidemill.domain.record import from_plain, now, to_plain
from tidemill.errors import BusyError, TidemillError
from tidemill.files import write_atomic
from tidemill.project.layout import Layout

_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_LAST_LINES = 40


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """A running server, as `.tidemill/servers/PID.json` says. `model` is what was in service when it started."""

    pid: int
    url: str
    model: str
    started: datetime


def running_servers(layout: Layout) -> list[ServerRecord]:
    """The servers of this project that live, oldest first. Files of dead ones are ignored."""
    found = []
    for path in layout.servers.glob("*.json"):
        record = _read(path)
        if record is not None and _is_server(record.pid):
            found.append(record)
    return sorted(found, key=lambda record: record.started)


@contextmanager
def announced(layout: Layout | None, url: str) -> Iterator[Callable[[str], None]]:
    """Gives a function that writes this process's server file, given the models; the file is removed at the end."""
    path = layout.servers / f"{os.getpid()}.json" if layout else None

    def announce(model: str) -> None:
        if path:
            record = ServerRecord(os.getpid(), url, model, now())
            write_atomic(path, json.dumps(to_plain(record)).encode())

    try:
        yield announce
    finally:
        if path:
            path.unlink(missing_ok=True)


class RunningServer:
    """A server that `start_server` started. As a context manager it is stopped at the end.

    It stops by itself when this process dies, for it reads a pipe that this process holds.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        assert process.stderr is not None
        self._reader = threading.Thread(target=self._listen, args=(process.stderr,), daemon=True)
        self._reader.start()
        self.url = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        """The last lines of its standard error."""
        return "\n".join(self._said)

    def stop(self) -> int:
        """Ask it to finish, wait, and return its exit code. A server that is gone already is no error."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(timeout=5)
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                pipe.close()
        return code

    def wait_until_ready(self, path: Path, since: datetime) -> None:
        """Wait for the server's file, written after `since`: there may be one of a dead process with the same id.

        Raises TidemillError with what the server said when it dies.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            record = _read(path)
            if record is not None and record.started >= since:
                self.url = record.url
                return
            if self._process.poll() is not None:
                self._reader.join(timeout=5)
                raise TidemillError(f"the server did not start: {_first_error(self.said)}", "see the reason above")
            time.sleep(0.02)
        self._process.kill()
        raise BusyError(f"the server was not ready after {_START_SECONDS:.0f} s", "the machine may be overloaded")

    def _listen(self, stream: IO[str]) -> None:
        for line in stream:
            self._said.append(line.rstrip("\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_server(layout: Layout, model_text: str, *, port: int = 0, workers: int = 1) -> RunningServer:
    """Start `tidemill serve MODEL` as a process of its own and wait until it is ready; port 0 takes a free one.

    Raises TidemillError with the server's own words when it does not get there.
    """
    command = [
        sys.executable, "-m", "tidemill", "serve", model_text, "--port", str(port), "--workers", str(workers),
        "--until-stdin-closes",
    ]  # fmt: skip
    began = now()
    process = subprocess.Popen(
        command,
        cwd=layout.root,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    server = RunningServer(process)
    try:
        server.wait_until_ready(layout.servers / f"{process.pid}.json", began)
    except BaseException:
        server.stop()
        raise
    return server


def _read(path: Path) -> ServerRecord | None:
    try:
        return from_plain(ServerRecord, json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None


def _is_server(pid: int) -> bool:
    """Whether a process with this id lives and is a Tidemill server, not a later process with its number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        return b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:  # where there is no /proc, that it lives must do
        return not Path("/proc").is_dir()


def _first_error(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    for line in lines:
        if line.startswith("error: "):
            return line.removeprefix("error: ")
    return lines[-1] if lines else "it said nothing"
