"""What the published OpenAPI of the Open Inference Protocol says of each document, as JSON Schema.

Fields, types and which are required are those of specification/protocol/open_inference_rest.yaml of
kserve/open-inference-protocol. Where TIDEMILL_OIP_OPENAPI names that file, it is taken in place of this.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
WHOLE_NUMBERS = {"type": "array", "items": {"type": "integer"}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _record(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _ref(name)}


_TENSOR = {"name": TEXT, "shape": WHOLE_NUMBERS, "datatype": TEXT}
_FILLED = {**_TENSOR, "parameters": _ref("parameters"), "data": _ref("tensor_data")}
_TENSOR_FIELDS = ("name", "shape", "datatype")
_SCALARS = [{"type": each} for each in ("number", "string", "boolean")]

SCHEMAS: dict[str, Any] = {
    "metadata_server_response": _record(
        ("name", "version", "extensions"), name=TEXT, version=TEXT, extensions=TEXTS
    ),
    "metadata_model_response": _record(
        ("name", "platform"),
        name=TEXT, versions=TEXTS, platform=TEXT, inputs=_list("metadata_tensor"), outputs=_list("metadata_tensor"),
    ),
    "metadata_tensor": _record(_TENSOR_FIELDS, **_TENSOR),
    "parameters": {"type": "object"},
    "tensor_data": {"type": "array", "items": {"anyOf": [_ref("tensor_data"), *_SCALARS]}},
    "request_input": _record((*_TENSOR_FIELDS, "data"), **_FILLED),
    "request_output": _record(("name",), name=TEXT, parameters=_ref("parameters")),
    "response_output": _record((*_TENSOR_FIELDS, "data"), **_FILLED),
    "inference_request": _record(
        ("inputs",), id=TEXT, parameters=_ref("parameters"), inputs=_list("request_input"),
        outputs=_list("request_output"),
    ),
    "inference_response": _record(
        ("model_name", "outputs"), model_name=TEXT, model_version=TEXT, id=TEXT, parameters=_ref("parameters"),
        outputs=_list("response_output"),
    ),
    "inference_error_response": _record((), error=TEXT),
    "metadata_server_error_response": _record(("error",), error=TEXT),
}  # fmt: skip

PATHS = {
    "/v2/health/live": "get",
    "/v2/health/ready": "get",
    "/v2/": "get",
    "/v2/models/${MODEL_NAME}/versions/${MODEL_VERSION}": "get",
    "/v2/models/${MODEL_NAME}/versions/${MODEL_VERSION}/ready": "get",
    "/v2/models/${MODEL_NAME}/versions/${MODEL_VERSION}/infer": "post",
}
"""Every address of the protocol, as the file spells it, and its method."""


def published() -> tuple[dict[str, Any], dict[str, str]]:
    """The schemas and the addresses: of the published file where TIDEMILL_OIP_OPENAPI names it, else those here."""
    given = os.environ.get("TIDEMILL_OIP_OPENAPI")
    if not given:
        return SCHEMAS, PATHS
    import yaml

    document = yaml.safe_load(Path(given).read_text("utf-8"))
    methods = {path: next(each for each in ("get", "post") if each in what) for path, what in document["paths"].items()}
    return document["components"]["schemas"], methods
