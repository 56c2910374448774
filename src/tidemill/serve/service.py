"""What all addresses of the server share: the model in service, the log, the meters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tidemill.journal.read import Journal
from tidemill.serve.batching import Engine
from tidemill.serve.failure import unknown_model
from tidemill.serve.job import Answer, Given, Job
from tidemill.serve.limits import Bodies
from tidemill.serve.metrics import Meters
from tidemill.serve.model import ServedModel
from tidemill.serve.recording import Recorder
from tidemill.serve.shared import Shared

if TYPE_CHECKING:
    from tidemill.ports import PredictionSink

Reply = Callable[[Answer | Exception], None]

_LOG_TROUBLE = 5.0  # seconds for which a failed write to the log makes the server unready


class Service:
    """One model name in service. Its methods belong to the event loop's thread."""

    def __init__(
        self, model: ServedModel, sink: PredictionSink, journal: Journal, shared: Shared | None = None
    ) -> None:
        self.sink = sink
        self.journal = journal
        self.bodies = Bodies()
        self.meters = Meters()
        self.refusal: str | None
        self.draining = False  # asked to stop: connections are closed after their next answer
        self.recorder = Recorder(sink)
        self._draining: set[asyncio.Task[None]] = set()
        self.engine = self._start(model)
        self._shared = shared
        if shared is not None:
            self._sharing = asyncio.get_running_loop().create_task(shared.keep(self.meters))

    @property
    def model(self) -> ServedModel:
        return self.engine.model

    def put(self, model: ServedModel) -> None:
        """Switch to `model`: the next request goes to it; what the old one holds, it still answers."""
        old = self.engine
        self.engine = self._start(model)
        ending = asyncio.get_running_loop().create_task(old.drain())
        self._draining.add(ending)
        ending.add_done_callback(self._draining.discard)

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

    def metrics(self) -> bytes:
        """What Prometheus reads: the numbers of all workers of the server."""
        return self._shared.text(self.meters) if self._shared else self.meters.text()

    def refuse(self, reason: str | None) -> None:
        """Remember why the published version is not in service while the old one goes on; None when it is."""
        self.refusal = reason
        self.meters.refused = int(reason is not None)

    def check_name(self, name: str, version: str | None = None) -> None:
        """Raises NotFoundError for any model but the one in service."""
        if name != self.model.name or version not in (None, str(self.model.version)):
            raise unknown_model(name if version is None else f"{name}/{version}", self.model.full_name)

    def readiness(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether a request would be answered, and what an operator should know."""
        failed = self.recorder.failed
        log_in_trouble = self.recorder.stuck or (failed is not None and time.monotonic() - failed < _LOG_TROUBLE)
        ready = self.engine.alive and not log_in_trouble and not self.draining
        detail: dict[str, Any] = {"ready": ready, "model": self.model.name, "version": self.model.version}
        if log_in_trouble:
            detail["log"] = "predictions cannot be logged, so none is answered"
        if self.refusal:
            detail["refused"] = self.refusal
        return ready, detail

    async def drain(self) -> None:
        """Wait until everything that was queued is answered."""
        await asyncio.gather(self.engine.drain(), *self._draining)
        if self._shared is not None:
            self._sharing.cancel()
            self._shared.write(self.meters)
        self.recorder.close()
        await asyncio.to_thread(self.recorder.join)

    def _start(self, model: ServedModel) -> Engine:
        self.refuse(None)
        self.meters.announce(model)
        return Engine(model, self.recorder, self.meters)
