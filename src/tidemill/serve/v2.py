"""The Open Inference Protocol, version 2, over HTTP (https://github.com/kserve/open-inference-protocol).

With the extensions for binary tensors and for classifications (docs/protocol/extension_binary_data.md and
extension_classification.md of triton-inference-server/server).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tidemill import __version__
from tidemill.domain.bundle import Tensor
from tidemill.serve.address import Body, Headers, Predict
from tidemill.serve.binary import LENGTH, split_body, to_binary
from tidemill.serve.job import Answer, Given
from tidemill.serve.model import ServedModel
from tidemill.serve.service import Service
from tidemill.serve.tensors import DATATYPES, RAW_INPUT, read_tensors
from tidemill.serve.wishes import Asked, read_wishes

_EXTENSIONS = ["binary_tensor_data", "classification"]


def v2_routes(service: Service) -> list[BaseRoute]:
    """All addresses of the protocol."""

    async def server(request: Request) -> Response:
        return _json({"name": "tidemill", "version": __version__, "extensions": _EXTENSIONS})

    async def live(request: Request) -> Response:
        return _json({"live": True})

    async def ready(request: Request) -> Response:
        is_ready, detail = service.readiness()
        return _json(detail, 200 if is_ready else 503)

    async def model_ready(request: Request) -> Response:
        slot = service.find(request.path_params["name"], request.path_params.get("version"))
        is_ready, _ = service.readiness()
        return _json({"name": slot.model.name, "ready": is_ready}, 200 if is_ready else 503)

    async def model(request: Request) -> Response:
        slot = service.find(request.path_params["name"], request.path_params.get("version"))
        return _json(describe(slot.model, service.versions(slot.model.name)))

    infer = Predict(service, Infer())
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
    """Tensors in and out: JSON, or JSON with the values behind it as they lie in memory (the binary extension)."""

    def read(self, model: ServedModel, headers: Headers, body: bytes) -> tuple[Given, Asked]:
        """The inputs of an infer request. Raises InputError."""
        document, binary = split_body(headers, body)
        asked = read_wishes(document, model.signature)
        given = read_tensors(model.bundle, document, binary)
        return (given._replace(timeout=asked.timeout) if asked.timeout else given), asked

    def write(self, answer: Answer, asked: Asked) -> Body:
        """Outputs that were asked for in binary stand behind the JSON."""
        document, binary = render(answer, asked)
        content = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
        if not binary:
            return Body(content)
        length = ((LENGTH, str(len(content)).encode()),)
        return Body(b"".join((content, *binary)), b"application/octet-stream", length)


def describe(model: ServedModel, versions: list[str]) -> dict[str, Any]:
    """The protocol's metadata of a model in service."""
    inputs = [_metadata(tensor) for tensor in model.signature.inputs]
    raw = RAW_INPUT.get(model.signature.task)
    if raw is not None:
        inputs.append({"name": raw, "datatype": "BYTES", "shape": [-1]})
    outputs = [_metadata(tensor) for tensor in model.signature.outputs]
    return {
        "name": model.name,
        "versions": versions,
        "platform": "onnx_onnxruntime",
        "inputs": inputs,
        "outputs": [*outputs, {"name": "output", "datatype": "BYTES", "shape": [-1]}],
    }


def render(answer: Answer, asked: Asked) -> tuple[dict[str, Any], list[bytes]]:
    """The answer's document, and what follows it; prediction ids are in its parameters, in the order of the rows."""
    arrays = {"scores": answer.scores, "embedding": answer.embedding}
    outputs: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name in asked.outputs:
        if name == "output":
            output: dict[str, Any] = {"name": name, "datatype": "BYTES", "shape": [len(answer.outputs)]}
            values: Any = answer.outputs
        elif name in asked.classes:
            values = likeliest(answer, asked.classes[name])
            output = {"name": name, "datatype": "BYTES", "shape": [len(answer.outputs), len(values) // len(answer.ids)]}
        else:
            output = {"name": name, "datatype": "FP32", "shape": list(arrays[name].shape)}
            values = arrays[name].ravel()
        if name in asked.binary:
            binary.append(to_binary(values))
            output["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            output["data"] = values
        outputs.append(output)
    document: dict[str, Any] = {"model_name": answer.model.name, "model_version": str(answer.model.version)}
    if asked.id is not None:
        document["id"] = asked.id
    return {**document, "parameters": {"prediction_ids": answer.ids}, "outputs": outputs}, binary


def likeliest(answer: Answer, count: int) -> list[str]:
    """`score:index:label` of each row's `count` best classes, or of all where they are fewer; the best first.

    Of equal scores the first class's is first. The rows' texts follow each other.
    """
    labels = answer.model.signature.labels
    places = np.argsort(-answer.scores, axis=1, kind="stable")[:, :count].tolist()
    written = answer.results.written[answer.start : answer.stop]
    return [
        f"{row[place].decode()}:{place}:{labels[place]}"
        for row, best in zip(written, places, strict=True)
        for place in best
    ]


def _metadata(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": DATATYPES[tensor.dtype], "shape": list(tensor.shape)}


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
