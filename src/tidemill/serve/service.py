"""What all addresses of the server share: the models in service, the log, the meters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.journal.find import Answers
from tidemill.serve.failure import unknown_model
from tidemill.serve.limits import Bodies
from tidemill.serve.metrics import Meters
from tidemill.serve.model import ServedModel
from tidemill.serve.pulse import keep
from tidemill.serve.recording import Recorder
from tidemill.serve.shared import Shared
from tidemill.serve.slot import Slot

if TYPE_CHECKING:
    from tidemill.ports import PredictionSink

_LOG_TROUBLE = 5.0  # seconds for which a failed write to the log makes the server unready


class Service:
    """Models and versions in service. Its methods belong to the event loop's thread."""

    def __init__(
        self,
        models: Sequence[ServedModel],
        sink: PredictionSink,
        journal: Answers,
        shared: Shared | None = None,
        *,
        answer_unlogged: bool = False,
    ) -> None:
        """With `answer_unlogged`, what cannot be logged is answered all the same, and counted."""
        self.sink = sink
        self.journal = journal
        self.bodies = Bodies()
        self.meters = Meters()
        self.draining = False  # asked to stop: connections are closed after their next answer
        self.recorder = Recorder(sink, self._unlogged if answer_unlogged else None)
        self._answer_unlogged = answer_unlogged
        self.changes = 0
        """How often another version came into service: whoever derives something from the models looks here."""
        self.slots = [Slot(model, self.recorder, self.meters, self._changed) for model in models]
        self._changed()
        self._pulse = asyncio.get_running_loop().create_task(keep(self.slots))
        self._shared = shared
        if shared is not None:
            self._sharing = asyncio.get_running_loop().create_task(shared.keep(self.meters))

    def find(self, name: str, version: str | None = None) -> Slot:
        """Where `name` is answered, by `version` if one is given; else by the first of that name.

        Raises NotFoundError.
        """
        for slot in self.slots:
            if slot.model.name == name and version in (None, str(slot.model.version)):
                return slot
        served = ", ".join(model.full_name for model in self._distinct())
        raise unknown_model(name if version is None else f"{name}/{version}", served)

    def versions(self, name: str) -> list[str]:
        """The versions of `name` in service."""
        return [str(model.version) for model in self._distinct() if model.name == name]

    def metrics(self) -> bytes:
        """What Prometheus reads: the numbers of all workers of the server."""
        return self._shared.text(self.meters) if self._shared else self.meters.text()

    def readiness(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether a request would be answered, and what an operator should know."""
        failed = self.recorder.failed
        log_in_trouble = self.recorder.stuck or (failed is not None and time.monotonic() - failed < _LOG_TROUBLE)
        refuses = log_in_trouble and not self._answer_unlogged
        ready = all(slot.ready for slot in self.slots) and not refuses and not self.draining
        detail: dict[str, Any] = {"ready": ready}
        if log_in_trouble:
            so = "so none is answered" if refuses else "and are answered all the same"
            detail["log"] = f"predictions cannot be logged, {so}"
        models = []
        for slot in self.slots:
            models.append({"model": slot.model.name, "version": slot.model.version})
            if not slot.ready:
                models[-1]["trouble"] = slot.trouble or "it has not answered its own requests lately"
            if slot.refusal:
                models[-1]["refused"] = slot.refusal
        return ready, detail | (models[0] if len(models) == 1 else {"models": models})

    async def drain(self) -> None:
        """Wait until everything that was queued is answered."""
        self._pulse.cancel()
        await asyncio.gather(*(slot.drain() for slot in self.slots))
        if self._shared is not None:
            self._sharing.cancel()
            self._shared.write(self.meters)
        self.recorder.close()
        await asyncio.to_thread(self.recorder.join)

    def _unlogged(self) -> None:
        self.meters.log_failures += 1

    def _changed(self) -> None:
        self.changes += 1
        self.meters.announce(*self._distinct())

    def _distinct(self) -> list[ServedModel]:
        """Each once: an alias may have come to name a version that is served beside it."""
        models: dict[str, ServedModel] = {}
        for slot in self.slots:
            models.setdefault(slot.model.full_name, slot.model)
        return list(models.values())
