"""`POST /v1/models/NAME:predict`: plain JSON and uploaded pictures."""

from __future__ import annotations

import time
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from tidemill.serve.http import send_json
from tidemill.serve.inputs import read_inputs
from tidemill.serve.job import Answer
from tidemill.serve.limits import header
from tidemill.serve.service import Service


class Predict:
    """The address as an ASGI application."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = time.perf_counter()
        service = self._service
        service.check_name(scope["path_params"]["name"])
        body = await service.bodies.read(scope, receive)
        inputs = read_inputs(service.model.signature.task, header(scope, b"content-type"), body)
        answer = await service.engine.submit(inputs=inputs, received=received)
        await send_json(send, 200, orjson.dumps(render(answer), option=orjson.OPT_SERIALIZE_NUMPY))


def render(answer: Answer) -> dict[str, Any]:
    """The answer's document: for each row its id, and class, score and all scores, or the value."""
    labels = answer.model.signature.labels
    predictions: list[dict[str, Any]] = []
    for prediction_id, output, row in zip(answer.ids, answer.outputs, answer.scores, strict=True):
        if labels:
            scores = dict(zip(labels, row, strict=True))
            predictions.append({"id": prediction_id, "class": output, "score": scores[output], "scores": scores})
        else:
            predictions.append({"id": prediction_id, "value": row[0]})
    return {"model": answer.model.name, "version": answer.model.version, "predictions": predictions}
