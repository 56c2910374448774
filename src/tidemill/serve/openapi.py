"""The description of a server, made from the signature of the model in service; its examples are golden requests."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from tidemill import __version__
from tidemill.domain.bundle import Signature, TableColumn, TabularPreprocessing
from tidemill.serve.model import ServedModel
from tidemill.serve.tensors import DATATYPES, RAW_INPUT

if TYPE_CHECKING:
    from tidemill.ports import Raw

_STRING = {"type": "string"}
_ID = {"type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}
_ERRORS, _ERRORS_OF_V2 = (
    {
        "4XX": {"description": "The request is wrong; nothing was answered.", "$ref": f"#/components/responses/{name}"},
        "503": {"description": "Busy; Retry-After says when.", "$ref": f"#/components/responses/{name}"},
        "507": {"description": "The prediction cannot be logged.", "$ref": f"#/components/responses/{name}"},
    }
    for name in ("Error", "ErrorOfV2")
)


def openapi(models: Sequence[ServedModel]) -> bytes:
    """OpenAPI 3.1 as JSON; every example in it is a request that its model answers."""
    paths = {
        **{path: what for model in models for path, what in _of_model(model, models).items()},
        "/v2": {"get": _get("Name and version of the server", "Open Inference Protocol")},
        "/feedback": {"post": _feedback(models)},
        "/v2/health/live": {"get": _get("Whether the process lives", "Operation")},
        "/v2/health/ready": {"get": _get("Whether requests are answered; a refused new version is named", "Operation")},
        "/metrics": {"get": _get("Counters and latencies for Prometheus", "Operation", "text/plain")},
    }
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": ", ".join(model.full_name for model in models),
            "version": __version__,
            "description": " ".join(f"{_about(model)} Bundle {model.digest.short}." for model in models)
            + " Every answer is in the log before it is sent, and bears its prediction id.",
        },
        "paths": paths,
        "components": {"responses": {"Error": _error(), "ErrorOfV2": _error_of_v2()}},
    }
    return orjson.dumps(document)


def _of_model(model: ServedModel, models: Sequence[ServedModel]) -> dict[str, Any]:
    """The addresses of a model: with its version, where an earlier one has its name."""
    protocol = "Open Inference Protocol"
    first = next(each for each in models if each.name == model.name) is model
    place = model.name if first else f"{model.name}/versions/{model.version}"
    return {
        f"/v1/models/{place}:predict": {"post": _predict(model)},
        f"/v2/models/{place}/infer": {"post": _infer(model)},
        f"/v2/models/{place}": {"get": _get("Inputs and outputs as tensors", protocol)},
        f"/v2/models/{place}/ready": {"get": _get("Whether the model answers", protocol)},
    }


def example(model: ServedModel) -> dict[str, Any]:
    """A body for the plain address that the model answers."""
    return {"inputs": [_item(raw) for raw in model.examples[:1]]}


def _item(raw: Raw) -> Any:
    return {"b64": b64encode(raw).decode("ascii")} if isinstance(raw, bytes) else raw


def _about(model: ServedModel) -> str:
    signature = model.signature
    given = {"image": "a picture", "text": "a sentence", "tabular": "a row of columns"}[signature.task]
    answer = f"one of {len(signature.labels)} classes" if signature.labels else "a value"
    return f"{model.full_name} takes {given}, gives {answer}."


def _predict(model: ServedModel) -> dict[str, Any]:
    inputs = {"type": "array", "minItems": 1, "items": _input_schema(model)}
    body = {"type": "object", "required": ["inputs"], "properties": {"inputs": inputs}, "additionalProperties": False}
    content: dict[str, Any] = {"application/json": {"schema": body, "example": example(model)}}
    if model.signature.task == "image":
        file = {"type": "string", "format": "binary"}
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": {"file": file}}}
        content["image/png"] = {"schema": file}
    return {
        "summary": "Predict",
        "tags": ["Predict"],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": _json("An answer for each input, in order.", _answer(model.signature)), **_ERRORS},
    }


def _input_schema(model: ServedModel) -> dict[str, Any]:
    preprocessing = model.bundle.preprocessing
    if isinstance(preprocessing, TabularPreprocessing):
        columns = {column.name: _column(column) for column in preprocessing.columns}
        return {"type": "object", "required": list(columns), "properties": columns, "additionalProperties": False}
    if model.signature.task == "text":
        return _STRING
    file = {"type": "string", "contentEncoding": "base64", "description": "A picture file."}
    return {"type": "object", "required": ["b64"], "properties": {"b64": file}, "additionalProperties": False}


def _column(column: TableColumn) -> dict[str, Any]:
    kind = {"float": "number", "integer": "integer", "category": "string"}[column.type]
    schema: dict[str, Any] = {"type": [kind, "null"] if column.nullable else kind}
    if column.categories:
        schema["enum"] = [*column.categories, None] if column.nullable else list(column.categories)
    limits = {"minimum": column.low, "maximum": column.high}
    return schema | {word: end for word, end in limits.items() if end is not None}


def _answer(signature: Signature) -> dict[str, Any]:
    if signature.labels:
        scores = {"type": "object", "properties": {label: {"type": "number"} for label in signature.labels}}
        row = {"id": _ID, "class": {"enum": list(signature.labels)}, "score": {"type": "number"}, "scores": scores}
    else:
        row = {"id": _ID, "value": {"type": "number"}}
    rows = {"type": "array", "items": {"type": "object", "properties": row}}
    return {"type": "object", "properties": {"model": _STRING, "version": {"type": "integer"}, "predictions": rows}}


def _infer(model: ServedModel) -> dict[str, Any]:
    body = {"type": "object", "required": ["inputs"], "properties": {"inputs": {"type": "array"}}}
    content = {"application/json": {"schema": body, "example": {"inputs": _tensors(model)}}}
    return {
        "summary": "Predict from tensors",
        "tags": ["Open Inference Protocol"],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": _json("Tensors; the prediction ids are in `parameters`.", {"type": "object"}),
            **_ERRORS_OF_V2,
        },
    }


def _tensors(model: ServedModel) -> list[dict[str, Any]]:
    raw = model.examples[0]
    if not isinstance(raw, bytes | str):
        types = {tensor.name: DATATYPES[tensor.dtype] for tensor in model.signature.inputs}
        return [
            {"name": name, "datatype": types[name], "shape": [1, 1], "data": [value]} for name, value in raw.items()
        ]
    data = raw if isinstance(raw, str) else b64encode(raw).decode("ascii")
    return [{"name": RAW_INPUT[model.signature.task], "datatype": "BYTES", "shape": [1], "data": [data]}]


def _feedback(models: Sequence[ServedModel]) -> dict[str, Any]:
    signature = models[0].signature
    kinds: list[dict[str, Any]] = [
        {"enum": list(each.signature.labels)} if each.signature.labels else {"type": "number"} for each in models
    ]
    label = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    item = {
        "type": "object",
        "required": ["prediction_id", "label"],
        "properties": {"prediction_id": _ID, "label": label},
    }
    schema = {"oneOf": [item, {"type": "array", "items": item}]}
    shown = {"prediction_id": "PREDICTION_ID", "label": signature.labels[0] if signature.labels else 1.5}
    return {
        "summary": "Send a true label back",
        "tags": ["Feedback"],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": shown}}},
        "responses": {"200": _json("How many labels were taken.", {"type": "object"}), **_ERRORS},
    }


def _get(summary: str, tag: str, kind: str = "application/json") -> dict[str, Any]:
    return {
        "summary": summary,
        "tags": [tag],
        "responses": {"200": {"description": "The answer.", "content": {kind: {}}}},
    }


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _error_of_v2() -> dict[str, Any]:
    """The Open Inference Protocol wants one string."""
    return _json("What is wrong, and what to do.", {"type": "object", "properties": {"error": _STRING}})


def _error() -> dict[str, Any]:
    error = {"type": "object", "properties": {"message": _STRING, "remedy": _STRING}}
    return _json("What is wrong, and what to do.", {"type": "object", "properties": {"error": error}})
