"""What is done to a server while clients ask: the tests do it a few times, `python -m tests.faults --long` often."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.serve.test_workers import workers_of
from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.project.layout import Layout
from tidemill.project.serving import RunningServer, start_server

from .load import Heard, Load, resident, unlogged, wrong
from .promotions import Promotions, serving_project

MODEL = "digits@champion"
GROWTH = 40.0  # MB that a server's memory may grow by between an early change of version and the last
Progress = Callable[[int], None]


@dataclass
class Trial:
    """What came of it. Nothing may be in `failures`."""

    name: str
    times: int
    requests: int = 0
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def hear(self, heard: Heard, log: Path, labels: dict[int, list[str]], *, all_heard: bool = True) -> None:
        """Judge what clients heard, once nobody writes the log any more."""
        self.requests += len(heard.answers)
        self.failures += heard.failures
        self.count(len(wrong(heard.answers, labels)), "answers are not their version's")
        self.judge_log(heard, log, all_heard=all_heard)

    def judge_log(self, heard: Heard, log: Path, *, all_heard: bool) -> None:
        """Every answer is in the log once; with `all_heard`, nothing else is."""
        missing, twice, unheard = unlogged(heard.answers, log)
        self.count(missing, "answers are not in the log")
        self.count(twice, "predictions are in the log twice")
        if all_heard:
            self.count(unheard, "predictions are in the log, and nobody heard of them")

    def count(self, number: int, what: str) -> None:
        """A failure where `number` is not 0."""
        if number:
            self.failures.append(f"{number} {what}")


def swaps(folder: Path, times: int, progress: Progress = lambda done: None) -> Trial:
    """Change the version in service under load."""
    trial = Trial("versions changed under load", times)
    layout = serving_project(folder / "swaps")
    promotions = Promotions(layout)
    with start_server(layout, MODEL) as server, Load(server.url, folder / "swaps.txt") as load:
        load.wait_for(100)
        early = 0.0
        for done in range(1, times + 1):
            _until_served(server, promotions.next())
            if done == max(3, times // 10):
                early = resident(server.pid)
            progress(done)
        grown = resident(server.pid) - early
        heard = load.stop()
        if server.stop() != 0:
            trial.failures.append("the server did not end in order")
    trial.hear(heard, layout.log, promotions.labels)
    trial.count(heard.refused, "connections were refused")
    trial.notes.append(f"memory {early:.0f} MB, {grown:+.0f} MB at the end")
    if grown > GROWTH:
        trial.failures.append(f"the memory grew by {grown:.0f} MB")
    return trial


def restarts_of_workers(folder: Path, times: int, progress: Progress = lambda done: None) -> Trial:
    """Ask one of two workers after the other to end, which is replaced behind the port that is kept."""
    trial = Trial("workers restarted under load", times)
    layout = serving_project(folder / "workers")
    labels = Promotions(layout).labels
    with start_server(layout, MODEL, workers=2) as server, Load(server.url, folder / "workers.txt") as load:
        load.wait_for(100)
        for done in range(1, times + 1):
            oldest = min(workers_of(server.pid), key=_started)
            os.kill(oldest, signal.SIGTERM)
            _until(lambda oldest=oldest: oldest not in workers_of(server.pid))  # type: ignore[misc]  # bound at once
            _until(lambda: len(_open(layout, server)) == 2)
            progress(done)
        heard = load.stop()
        if server.stop() != 0:
            trial.failures.append("the server did not end in order")
    trial.hear(heard, layout.log, labels)
    trial.count(heard.refused, "connections were refused")
    return trial


def restarts(folder: Path, times: int, progress: Progress = lambda done: None) -> Trial:
    """End the whole server in order, and start it again at the same port. Meanwhile connections are refused."""
    trial = Trial("servers restarted under load", times)
    layout = serving_project(folder / "servers")
    labels = Promotions(layout).labels
    server = start_server(layout, MODEL)
    port = int(server.url.rpartition(":")[2])
    with Load(server.url, folder / "servers.txt") as load:
        for done in range(1, times + 1):
            load.wait_for(len(load.answers()) + 100)
            if server.stop() != 0:
                trial.failures.append("a server did not end in order")
            server = start_server(layout, MODEL, port=port)
            progress(done)
        load.wait_for(len(load.answers()) + 100)
        heard = load.stop()
    server.stop()
    trial.hear(heard, layout.log, labels)
    trial.notes.append(f"{heard.refused} connections were refused between one server and the next")
    return trial


def kills(folder: Path, times: int, progress: Progress = lambda done: None, *, connections: int = 8) -> Trial:
    """`kill -9` at random moments, every second time of a server of two workers."""
    trial = Trial("kill -9 under load, at random moments", times)
    layout = serving_project(folder / "kills")
    labels = Promotions(layout).labels
    chance = random.Random(times)
    answers, unheard = [], 0
    for done in range(1, times + 1):
        server = start_server(layout, MODEL, workers=1 + done % 2)
        with Load(server.url, folder / "kills.txt", connections=connections) as load:
            load.wait_for(20)
            time.sleep(chance.uniform(0, 1.0))
            for pid in (server.pid, *(workers_of(server.pid) if done % 2 else ())):
                os.kill(pid, signal.SIGKILL)
            heard = load.stop()
        server.stop()
        answers += heard.answers
        trial.count(len(wrong(heard.answers, labels)), "answers are not their version's")
        trial.failures += [f"{count} times {status}" for status, count in heard.bad.items()]
        everything = Heard(answers)
        trial.judge_log(everything, layout.log, all_heard=False)
        if done % 5 == 0 or done == times:
            ParquetSink(layout.log).close()  # seals what the killed ones left
            trial.judge_log(everything, layout.log, all_heard=False)
        seen = unlogged(answers, layout.log)[2]
        if seen - unheard > connections:
            trial.failures.append(f"{seen - unheard} predictions are in the log, and nobody heard of them")
        unheard = seen
        progress(done)
    trial.requests = len(answers)
    trial.notes.append(f"{unheard} were logged, and their answers not sent any more")
    return trial


def _until_served(server: RunningServer, version: int) -> None:
    def served() -> bool:
        return bool(httpx.get(f"{server.url}/v2/health/ready", timeout=30).json()["version"] == version)

    _until(served)


def _until(done: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)


def _open(layout: Layout, server: RunningServer) -> list[int]:
    """The workers that have opened their log, and so answer."""
    living = workers_of(server.pid)
    return [pid for pid in living if list((layout.log / "spool").glob(f"*-{pid}.spool"))]


def _started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
