"""An engine whose model computes when a test lets it, and says what it was given."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.bundle.predictor import Predictor
from tidemill.journal.read import Journal
from tidemill.serve.batching import Engine
from tidemill.serve.inputs import rows
from tidemill.serve.job import Answer, Job
from tidemill.serve.metrics import Meters, ModelMeters
from tidemill.serve.model import ServedModel
from tidemill.serve.recording import Recorder

from .conftest import load

if TYPE_CHECKING:
    from tidemill.ports import Feed, Scored, Session

SLOW = ((1, 0.01), (16, 0.16))
"""Seconds that say: a model with threads of its own, whose time is that of its rows."""


_ANY = 1 << 30  # rows


class Held:
    """The session of a bundle that adds width to twice the height. While it is shut, who comes waits at its door.

    `runs` holds the widths of each run, in the order in which they came to the door; they mark the rows.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._door = threading.Condition()
        self._most = _ANY
        self.runs: list[list[int]] = []

    def shut(self) -> None:
        self.open(0)

    def open(self, most: int = _ANY) -> None:
        """Let runs of at most so many rows go on."""
        with self._door:
            self._most = most
            self._door.notify_all()

    def run(self, feed: Feed) -> Scored:
        widths = [int(each) for each in feed["width"].ravel()]
        with self._door:
            self.runs.append(widths)
            assert self._door.wait_for(lambda: len(widths) <= self._most, 30), "nobody opened"
        return self._session.run(feed)

    async def came(self, runs: int) -> None:
        """Wait until so many runs have come to the door."""
        until = time.monotonic() + 20
        while len(self.runs) < runs:
            assert time.monotonic() < until, self.runs
            await asyncio.sleep(0.002)


@dataclass
class Desk:
    """Where a test hands requests in. `answered` are the marks of requests in the order of their answers."""

    engine: Engine
    held: Held
    series: ModelMeters
    answered: list[int] = field(default_factory=list)
    _next: int = 0

    def ask(self, size: int = 1, *, timeout: float = 0.0, gone: Callable[[], bool] = lambda: False) -> Asked:
        """Hand in a request of `size` rows, whose marks follow those of the request before."""
        first = self._next
        self._next += size
        given = rows("tabular", [{"width": float(first + at), "height": 0.0} for at in range(size)])
        future: asyncio.Future[Answer | Exception] = asyncio.get_running_loop().create_future()

        def reply(answer: Answer | Exception) -> None:
            self.answered.append(first)
            future.set_result(answer)

        self.engine.submit(Job(given._replace(timeout=timeout), time.perf_counter(), reply, gone))
        return Asked(first, size, future)


@dataclass
class Asked:
    """A request that was handed in: its rows are marked `first`, `first` + 1 and so on."""

    first: int
    size: int
    future: asyncio.Future[Answer | Exception]

    @property
    def marks(self) -> list[int]:
        return list(range(self.first, self.first + self.size))

    async def values(self) -> list[int]:
        """What was answered, by row: the marks, where nothing was mixed up."""
        answer = await asyncio.wait_for(asyncio.shield(self.future), 20)
        assert isinstance(answer, Answer), answer
        return [int(value) for value in answer.scores[:, 0]]

    async def error(self) -> Exception:
        answer = await asyncio.wait_for(asyncio.shield(self.future), 20)
        assert isinstance(answer, Exception), answer
        return answer


def held_model(bundle: Path, *, workers: int = 2, seconds: Any = SLOW) -> tuple[ServedModel, Held]:
    """The model of `bundle`, which is the one to a number, and its session."""
    model = load(bundle)
    held = Held(model.predictor.session)
    predictor = Predictor(model.predictor.opened, held)
    return replace(model, predictor=predictor, workers=workers, seconds=seconds), held


def at_desk(
    model: ServedModel, held: Held, log: Path, scenario: Callable[[Desk], Awaitable[None]]
) -> Sequence[dict[str, Any]]:
    """Let `scenario` ask an engine for `model`; then end it. What the log holds of it, in order of writing."""

    async def run() -> None:
        meters = Meters()
        recorder = Recorder(sink)
        engine = Engine(model, recorder, meters)
        try:
            await scenario(Desk(engine, held, meters.model(model)))
        finally:
            held.open()
            await asyncio.wait_for(engine.drain(), 30)
            recorder.close()
            await asyncio.to_thread(recorder.join)

    sink = ParquetSink(log)
    try:
        asyncio.run(run())
    finally:
        sink.close()
    logged: list[dict[str, Any]] = Journal(log).predictions().to_pylist()
    return logged
