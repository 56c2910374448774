"""Worker processes that train trials: each a fresh interpreter behind a socket, which may die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import IO, Any

from tidemill.errors import TidemillError

_STARTS = 3  # workers in a row that may die before they are ready
_PATIENCE = 5.0  # seconds between asking a worker to end and ending it


@dataclass
class Worker:
    """One process, and the trial that it trains."""

    process: subprocess.Popen[bytes]
    line: Connection
    said: IO[bytes]
    ready: bool = False
    trial: int | None = None
    seconds: float = 0.0
    about: dict[str, Any] = field(default_factory=dict)

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand over a message; one that is gone is noticed when it is waited for."""
        with contextlib.suppress(OSError):
            self.line.send_bytes(json.dumps(message).encode())


@dataclass(frozen=True, slots=True)
class Event:
    """What a worker said; `message` is None when it died, of `reason`."""

    worker: Worker
    message: Mapping[str, Any] | None
    reason: str = ""


class Workers:
    """`number` workers that run the module `module` with the arguments `given`, each with `threads` threads."""

    def __init__(self, number: int, module: str, given: Sequence[str], *, threads: int) -> None:
        self._module, self._given, self._threads = module, list(given), threads
        self._unready = 0
        self.all = [self._start() for _ in range(number)]

    def _start(self) -> Worker:
        ours, theirs = socket.socketpair()
        said = tempfile.TemporaryFile()  # noqa: SIM115 - it lasts as long as the worker
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", self._module, str(theirs.fileno()), *self._given],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True,  # Ctrl-C is for the command alone, which ends its workers in order
                env={**os.environ, **dict.fromkeys(names, str(self._threads))},
            )  # fmt: skip
        return Worker(process, Connection(ours.detach()), said)

    def idle(self) -> list[Worker]:
        """Those that wait for a trial."""
        return [each for each in self.all if each.ready and each.trial is None]

    def wait(self, timeout: float) -> list[Event]:
        """What was said since, or nothing after `timeout` seconds. A worker that died is replaced.

        Raises TidemillError when new workers die before they are ready.
        """
        lines = {each.line: each for each in self.all}
        events = []
        for line in wait(list(lines), timeout):
            worker = lines[line]  # type: ignore[index]  # only connections were given
            try:
                events.append(self._heard(worker, json.loads(worker.line.recv_bytes())))
            except (EOFError, OSError):
                events.append(self._died(worker))
        return events

    def _heard(self, worker: Worker, message: Mapping[str, Any]) -> Event:
        if message["kind"] == "ready":
            worker.ready, self._unready = True, 0
        return Event(worker, message)

    def _died(self, worker: Worker) -> Event:
        worker.line.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(_PATIENCE)
        worker.process.kill()
        code = worker.process.wait()
        reason = (
            f"its worker was killed ({signal.Signals(-code).name})" if code < 0 else f"its worker ended with {code}"
        )
        if not worker.ready:
            self._unready += 1
            if self._unready >= _STARTS:
                raise TidemillError(f"no worker comes up: {_last_line(worker.said)}", "try it with  search.workers=1")
        worker.said.close()
        self.all[self.all.index(worker)] = self._start()
        return Event(worker, None, reason)

    def stop(self) -> None:
        """End all of them; what they train is given up."""
        for each in self.all:
            each.line.close()  # they end when nobody is at the other end
            each.process.terminate()
        for each in self.all:
            try:
                each.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                each.process.kill()
                each.process.wait()
            each.said.close()
        self.all = []


def _last_line(said: IO[bytes]) -> str:
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - 4000))
    lines = said.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
