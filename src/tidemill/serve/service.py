"""What all addresses of the server share: the model in service, the log, the meters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tidemill.journal.read import Journal
from tidemill.serve.batching import Engine
from tidemill.serve.failure import unknown_model
from tidemill.serve.limits import Bodies
from tidemill.serve.metrics import Meters
from tidemill.serve.model import ServedModel

if TYPE_CHECKING:
    from tidemill.ports import PredictionSink

_LOG_TROUBLE = 5.0  # seconds for which a failed write to the log makes the server unready


class Service:
    """One model name in service. Its methods belong to the event loop's thread."""

    def __init__(self, model: ServedModel, sink: PredictionSink, journal: Journal) -> None:
        self.sink = sink
        self.journal = journal
        self.bodies = Bodies()
        self.meters = Meters()
        self.refusal: str | None
        self.draining = False  # asked to stop: connections are closed after their next answer
        self._leaving: list[Engine] = []
        self.engine = self._start(model)

    @property
    def model(self) -> ServedModel:
        return self.engine.model

    def put(self, model: ServedModel) -> None:
        """Switch to `model`: the next request goes to it; what the old one holds, it still answers."""
        old = self.engine
        self.engine = self._start(model)
        old.close()
        self._leaving = [engine for engine in (*self._leaving, old) if engine.alive]

    def refuse(self, reason: str | None) -> None:
        """Remember why the published version is not in service while the old one goes on; None when it is."""
        self.refusal = reason
        self.meters.refused.set(reason is not None)

    def check_name(self, name: str, version: str | None = None) -> None:
        """Raises NotFoundError for any model but the one in service."""
        if name != self.model.name or version not in (None, str(self.model.version)):
            raise unknown_model(name if version is None else f"{name}/{version}", self.model.full_name)

    def readiness(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether a request would be answered, and what an operator should know."""
        failed = self.engine.log_failed
        log_in_trouble = failed is not None and time.monotonic() - failed < _LOG_TROUBLE
        ready = self.engine.alive and not log_in_trouble and not self.draining
        detail: dict[str, Any] = {"ready": ready, "model": self.model.name, "version": self.model.version}
        if log_in_trouble:
            detail["log"] = "predictions cannot be logged, so none is answered"
        if self.refusal:
            detail["refused"] = self.refusal
        return ready, detail

    async def drain(self) -> None:
        """Wait until everything that was queued is answered."""
        self.engine.close()
        for engine in (*self._leaving, self.engine):
            await asyncio.to_thread(engine.join)

    def _start(self, model: ServedModel) -> Engine:
        self.refuse(None)
        self.meters.announce(model)
        return Engine(model, self.sink, self.meters)
