"""Several worker processes behind one socket. One that dies is replaced, and the port never closes meanwhile.

The socket is bound and listened on here, and stays open here; each worker accepts from it. Workers are processes of
their own, started anew and not forked: a graph's threads do not survive a fork.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tidemill.errors import TidemillError
from tidemill.serve.logs import say
from tidemill.serve.starter import stop_without_starter

_TICK = 0.05  # seconds between two looks
_DRAIN = 60.0  # seconds for workers to end
_SOUND = 5.0  # seconds that a worker has to live for its death to be no failed start
_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds before a replacement, by how many failed in a row
_BACKLOG = 2048


@dataclass
class _Worker:
    """One place. `failures` counts starts in a row that came to nothing; `due` is when the next one is."""

    process: subprocess.Popen[bytes] | None = None
    ready: int = -1  # the end of a pipe that says so
    is_ready: bool = False
    started: float = 0.0
    failures: int = 0
    due: float = 0.0


def supervise(
    listener: socket.socket,
    command: Sequence[str],
    workers: int,
    on_ready: Callable[[], None],
    *,
    until_stdin_closes: bool = False,
) -> None:
    """Run `workers` times `command` with ` --worker SOCKET:READY:FOLDER` until SIGTERM or SIGINT; then all are drained.

    `on_ready` is called once, when the first answers of each are possible. Raises TidemillError when the first workers
    do not start.
    """
    stop = threading.Event()
    asked = 0

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked += 1
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    if until_stdin_closes:
        stop_without_starter(stop.set)
    listener.listen(_BACKLOG)
    places = [_Worker() for _ in range(workers)]
    told = False
    shared = tempfile.TemporaryDirectory(prefix="tidemill-workers-")
    try:
        while not stop.wait(_TICK):
            for place in places:
                _look(place)
                if place.process is None and time.monotonic() >= place.due:
                    if place.failures and not told:
                        raise TidemillError("a worker of the server did not start", "see the reason above")
                    _start(place, listener, command, shared.name)
            if not told and all(place.is_ready for place in places):
                told = True
                on_ready()
    finally:
        listener.close()  # now, so that nobody connects to whom no worker would answer
        _drain(places, lambda: asked > 1)
        shared.cleanup()
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(place: _Worker, listener: socket.socket, command: Sequence[str], shared: str) -> None:
    place.ready, told = os.pipe()
    os.set_blocking(place.ready, False)
    handed = (listener.fileno(), told)
    place.process = subprocess.Popen(
        [*command, "--worker", f"{handed[0]}:{handed[1]}:{shared}"], stdin=subprocess.PIPE, pass_fds=handed
    )
    os.close(told)
    place.started, place.is_ready = time.monotonic(), False


def _look(place: _Worker) -> None:
    """Hear whether the worker is ready, or has died."""
    process = place.process
    if process is None:
        return
    if not place.is_ready:
        with suppress(BlockingIOError):
            place.is_ready = bool(os.read(place.ready, 1))
    if process.poll() is None:
        return
    sound = place.is_ready and time.monotonic() - place.started > _SOUND
    place.failures = 0 if sound else place.failures + 1
    place.due = time.monotonic() + _PAUSES[min(place.failures, len(_PAUSES) - 1)]
    say(
        f"worker {process.pid} ended with {process.returncode}: it is replaced",
        level="error",
        **{"event.action": "worker-ended", "tidemill.worker.pid": process.pid, "process.exit_code": process.returncode},
    )
    _forget(place)


def _forget(place: _Worker) -> None:
    assert place.process is not None
    assert place.process.stdin is not None
    place.process.stdin.close()
    os.close(place.ready)
    place.process, place.is_ready = None, False


def _drain(places: Sequence[_Worker], at_once: Callable[[], bool]) -> None:
    """Have all workers answer what they have taken, and end; kill them where that takes too long, or is asked for."""
    living = [place for place in places if place.process is not None]
    for place in living:
        assert place.process is not None
        place.process.send_signal(signal.SIGTERM)
    until = time.monotonic() + _DRAIN
    for place in living:
        assert place.process is not None
        while place.process.poll() is None:
            if at_once() or time.monotonic() > until:
                place.process.kill()
            time.sleep(_TICK)
        _forget(place)
