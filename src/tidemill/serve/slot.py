"""A place of the server in which a version of a model stands; another takes it over without a request being lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill.serve.batching import Engine
from tidemill.serve.job import Answer, Given, Job
from tidemill.serve.pulse import STALE

if TYPE_CHECKING:
    from tidemill.serve.metrics import Meters
    from tidemill.serve.model import ServedModel
    from tidemill.serve.recording import Recorder

Reply = Callable[[Answer | Exception], None]


class Slot:
    """Its methods belong to the event loop's thread. `changed` is called when another version is in service."""

    def __init__(self, model: ServedModel, recorder: Recorder, meters: Meters, changed: Callable[[], None]) -> None:
        self._recorder, self._meters, self._changed = recorder, meters, changed
        self._draining: set[asyncio.Task[None]] = set()
        self.refusal: str | None = None
        """Why the published version is not in service while the old one goes on."""
        self.trouble: str | None = None
        """What was wrong with its last golden answer."""
        self.proven = time.monotonic()
        self.engine = Engine(model, recorder, meters)

    @property
    def ready(self) -> bool:
        """Whether it would answer, and lately did so as it should."""
        return self.engine.alive and self.trouble is None and time.monotonic() - self.proven < STALE

    @property
    def model(self) -> ServedModel:
        return self.engine.model

    def put(self, model: ServedModel) -> None:
        """Switch to `model`: the next request goes to it; what the old one holds, it still answers."""
        old, self.engine = self.engine, Engine(model, self._recorder, self._meters)
        ending = asyncio.get_running_loop().create_task(old.drain())
        self._draining.add(ending)
        ending.add_done_callback(self._draining.discard)
        self.trouble, self.proven = None, time.monotonic()  # it comes proven
        self.refuse(None)
        self._changed()

    def refuse(self, reason: str | None) -> None:
        """Remember why the published version is refused; None when it is not."""
        self._meters.refused += (reason is not None) - (self.refusal is not None)
        self.refusal = reason

    def submit(self, given: Given, received: float, reply: Reply, gone: Callable[[], bool]) -> None:
        """Have the model in service answer. `reply` is called once, on this thread; `gone` says whether nobody waits.

        Raises BusyError, StorageError.
        """
        self.engine.submit(Job(given, received, reply, gone))

    async def ask(self, given: Given, received: float) -> Answer:
        """As `submit`. Raises what the answer is instead of one."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def reply(answer: Answer | Exception) -> None:
            if future.done():
                return
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        self.submit(given, received, reply, future.cancelled)
        return await future

    async def drain(self) -> None:
        """Wait until everything that was queued is answered."""
        await asyncio.gather(self.engine.drain(), *self._draining)
