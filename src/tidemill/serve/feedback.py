"""`POST /feedback`: the labels that come back for answered requests."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from starlette.types import Receive, Scope, Send

from tidemill.domain.bundle import Signature
from tidemill.domain.prediction import Feedback
from tidemill.domain.record import now
from tidemill.errors import InputError, NotFoundError, StorageError, nearest
from tidemill.serve.http import send_json
from tidemill.serve.inputs import parse_json
from tidemill.serve.service import Service

MAX_LABELS = 10_000
PATIENCE = 20.0  # seconds for the log to be read and written
_EXAMPLE = 'send {"prediction_id": "01…", "label": "…"}, or a list of such; an answer has the id as "id"'
_FIELDS = ("prediction_id", "label")


class Label(NamedTuple):
    """A true label, or for regression the true value as text."""

    prediction_id: str
    label: str


class TakeFeedback:
    """The address as an ASGI application. All labels of a request are taken, or none."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = asyncio.Lock()  # the journal is read by one at a time
        self._last: asyncio.Task[int] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        signatures = [slot.model.signature for slot in self._service.slots]
        labels = read_labels(parse_json(await self._service.bodies.read(scope, receive)), signatures)
        written = await self._taken(labels)
        self._service.meters.feedback += written
        await send_json(send, 200, orjson.dumps({"accepted": len(labels), "unchanged": len(labels) - written}))

    async def _taken(self, labels: Sequence[Label]) -> int:
        """As `_take`, in a thread. Raises StorageError where the log does not answer: no second thread waits for it."""
        try:
            async with asyncio.timeout(PATIENCE), self._lock:
                if self._last is not None:
                    await asyncio.wait({self._last})
                self._last = asyncio.create_task(asyncio.to_thread(self._take, labels))
                await asyncio.wait({self._last})  # which leaves the thread alone when the time is over
        except TimeoutError:
            raise StorageError(
                f"the log takes longer than {PATIENCE:.0f} s", "look at the disk that holds it"
            ) from None
        return self._last.result()

    def _take(self, labels: Sequence[Label]) -> int:
        """How many were written; the same label given again changes nothing."""
        ids = [each.prediction_id for each in labels]
        found = self._service.journal.find_all(ids)
        served = {slot.model.name: slot.model.signature for slot in reversed(self._service.slots)}
        for prediction_id, label in labels:
            if prediction_id not in found or found[prediction_id].model not in served:
                names = ", ".join(sorted(served))
                raise NotFoundError(f"no prediction {prediction_id[:60]!r} of {names} in the log", _EXAMPLE)
            check_label(served[found[prediction_id].model], label)
        known = self._service.journal.labels(ids)
        fresh = [
            each for each in labels if each.prediction_id not in known or known[each.prediction_id].label != each.label
        ]
        if fresh:
            self._service.sink.feedback([Feedback(id, label, now(), found[id].model) for id, label in fresh])
        return len(fresh)


def read_labels(document: Any, signatures: Sequence[Signature]) -> list[Label]:
    """Labels in the body of a request. Raises InputError for a wrong shape, or a label that no model knows."""
    items = document if isinstance(document, list) else [document]
    if not 0 < len(items) <= MAX_LABELS:
        raise InputError(f"{len(items):,} labels in one request", f"send 1 to {MAX_LABELS:,} at a time")
    return [_label(index, item, signatures) for index, item in enumerate(items)]


def _label(index: int, item: Any, signatures: Sequence[Signature]) -> Label:
    if not isinstance(item, dict):
        raise InputError(f"item {index} is not a label with its prediction id", _EXAMPLE)
    for field in _FIELDS:
        if field not in item:
            raise InputError(f"item {index} lacks {field!r}", _EXAMPLE)
    for field in item:
        if field not in _FIELDS:
            raise InputError(
                f"item {index} has the unknown field {field[:60]!r}", nearest(field, _FIELDS, kind="fields")
            )
    prediction_id, label = item["prediction_id"], item["label"]
    if not isinstance(prediction_id, str) or isinstance(label, bool) or not isinstance(label, str | int | float):
        raise InputError(f"item {index} has a prediction id or a label of a wrong type", _EXAMPLE)
    errors = []
    for signature in signatures:
        try:
            return Label(prediction_id, check_label(signature, str(label)))
        except InputError as error:
            errors.append(error)
    raise errors[0]


def check_label(signature: Signature, label: str) -> str:
    """`label` as the log keeps it. Raises InputError for one that no answer of the model could be."""
    if signature.kind == "classification":
        if label not in signature.labels:
            raise InputError(
                f"the model knows no label {label[:60]!r}", nearest(label, signature.labels, kind="labels")
            )
        return label
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{label[:60]!r} is not a value", "this model gives numbers: send a finite one")
    return label
