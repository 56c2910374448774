"""The Open Inference Protocol, version 2, over JSON (https://github.com/kserve/open-inference-protocol)."""

from __future__ import annotations

import time
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from tidemill import __version__
from tidemill.domain.bundle import Tensor
from tidemill.errors import InputError, nearest
from tidemill.serve.http import send_json
from tidemill.serve.inputs import parse_json
from tidemill.serve.job import Answer
from tidemill.serve.service import Service
from tidemill.serve.tensors import DATATYPES, RAW_INPUT, read_tensors

_OUTPUTS = ("scores", "embedding", "output")


def v2_routes(service: Service) -> list[BaseRoute]:
    """All addresses of the protocol."""

    async def server(request: Request) -> Response:
        return _json({"name": "tidemill", "version": __version__, "extensions": []})

    async def live(request: Request) -> Response:
        return _json({"live": True})

    async def ready(request: Request) -> Response:
        is_ready, detail = service.readiness()
        return _json(detail, 200 if is_ready else 503)

    async def model_ready(request: Request) -> Response:
        service.check_name(request.path_params["name"], request.path_params.get("version"))
        is_ready, _ = service.readiness()
        return _json({"name": service.model.name, "ready": is_ready}, 200 if is_ready else 503)

    async def model(request: Request) -> Response:
        service.check_name(request.path_params["name"], request.path_params.get("version"))
        return _json(describe(service))

    infer = Infer(service)
    routes: list[BaseRoute] = [
        Route("/v2", server),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
    ]
    for base in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [
            Route(base, model),
            Route(f"{base}/ready", model_ready),
            Route(f"{base}/infer", infer, methods=["POST"]),
        ]
    return routes


class Infer:
    """`POST …/infer` as an ASGI application."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = time.perf_counter()
        service = self._service
        asked = scope["path_params"]
        service.check_name(asked["name"], asked.get("version"))
        document = parse_json(await service.bodies.read(scope, receive))
        service.check_name(asked["name"], asked.get("version"))  # a long body may have outlived a version
        given = read_tensors(service.model.bundle, document)
        wanted = _wanted(document)
        answer = await service.ask(given, received)
        content = render(answer, wanted, document.get("id"))
        await send_json(send, 200, orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY))


def describe(service: Service) -> dict[str, Any]:
    """The protocol's metadata of the model in service."""
    model = service.model
    inputs = [_metadata(tensor) for tensor in model.signature.inputs]
    raw = RAW_INPUT.get(model.signature.task)
    if raw is not None:
        inputs.append({"name": raw, "datatype": "BYTES", "shape": [-1]})
    outputs = [_metadata(tensor) for tensor in model.signature.outputs]
    return {
        "name": model.name,
        "versions": [str(model.version)],
        "platform": "onnx_onnxruntime",
        "inputs": inputs,
        "outputs": [*outputs, {"name": "output", "datatype": "BYTES", "shape": [-1]}],
    }


def render(answer: Answer, wanted: tuple[str, ...], request_id: Any) -> dict[str, Any]:
    """The answer's document; prediction ids are in its parameters, in the order of the rows."""
    arrays = {"scores": ("FP32", answer.scores), "embedding": ("FP32", answer.embedding)}
    outputs: list[dict[str, Any]] = []
    for name in wanted:
        if name == "output":
            outputs.append({"name": name, "datatype": "BYTES", "shape": [len(answer.outputs)], "data": answer.outputs})
        else:
            datatype, array = arrays[name]
            outputs.append({"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.ravel()})
    document: dict[str, Any] = {"model_name": answer.model.name, "model_version": str(answer.model.version)}
    if isinstance(request_id, str):
        document["id"] = request_id
    return {**document, "parameters": {"prediction_ids": answer.ids}, "outputs": outputs}


def _wanted(document: dict[str, Any]) -> tuple[str, ...]:
    asked = document.get("outputs")
    if not asked:
        return _OUTPUTS
    names = (
        [each.get("name") if isinstance(each, dict) else None for each in asked] if isinstance(asked, list) else [None]
    )
    for name in names:
        if name not in _OUTPUTS:
            raise InputError(f"unknown output {str(name)[:60]!r}", nearest(str(name)[:60], _OUTPUTS, kind="outputs"))
    return tuple(dict.fromkeys(str(name) for name in names))


def _metadata(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": DATATYPES[tensor.dtype], "shape": list(tensor.shape)}


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
