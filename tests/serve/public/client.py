"""Asks a server through tritonclient; a program for an environment of its own.

    python client.py HOST:PORT <asked.json >answered.json

Asked is a list; each answer is what the client gave, or its error. Bytes are base64.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as triton  # type: ignore[import-not-found,unused-ignore]  # in its own environment only
from tritonclient.http import aio  # type: ignore[import-not-found,unused-ignore]  # as above
from tritonclient.utils import (  # type: ignore[import-not-found,unused-ignore]  # as above
    InferenceServerException,
    triton_to_np_dtype,
)

_MORE = (
    "request_id", "model_version", "request_compression_algorithm", "response_compression_algorithm", "timeout",
    "priority", "sequence_id", "sequence_start",
)  # fmt: skip


def arguments(module: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """What `infer` of either client takes."""
    inputs = []
    for each in asked["inputs"]:
        if each["datatype"] == "BYTES":
            array = np.array([base64.b64decode(item) for item in each["items"]], dtype=object)
        else:
            array = np.frombuffer(base64.b64decode(each["raw"]), triton_to_np_dtype(each["datatype"]))
        tensor = module.InferInput(each["name"], each["shape"], each["datatype"])
        inputs.append(tensor.set_data_from_numpy(array.reshape(each["shape"]), binary_data=asked["binary"]))
    classes = asked.get("classes", {})
    outputs = [
        module.InferRequestedOutput(name, binary_data=asked["binary"], class_count=classes.get(name, 0))
        for name in asked.get("outputs", ())
    ]
    more: dict[str, Any] = {name: asked[name] for name in _MORE if name in asked}
    return {"model_name": asked["model"], "inputs": inputs, "outputs": outputs or None, **more}


def told(result: Any) -> dict[str, Any]:
    """An answer's document, with each output's values as the client reads them."""
    document = result.get_response()
    values: dict[str, Any] = {}
    for output in document["outputs"]:
        array = result.as_numpy(output["name"])
        if output["datatype"] == "BYTES":
            items = [each if isinstance(each, bytes) else str(each).encode() for each in array.ravel()]
            values[output["name"]] = [base64.b64encode(each).decode() for each in items]
        else:
            values[output["name"]] = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"document": document, "values": values}


async def at_once(address: str, asked: list[dict[str, Any]]) -> list[Any]:
    """All of `asked` through the client for asyncio, together."""
    async with aio.InferenceServerClient(address) as client:
        return [told(each) for each in await asyncio.gather(*(client.infer(**arguments(aio, each)) for each in asked))]


def answer(address: str, client: Any, asked: dict[str, Any]) -> Any:
    """What came of one request."""
    match asked["do"]:
        case "infer":
            return told(client.infer(**arguments(triton, asked)))
        case "infer in threads":
            waiting = [client.async_infer(**arguments(triton, each)) for each in asked["all"]]
            return [told(each.get_result()) for each in waiting]
        case "infer at once":
            return asyncio.run(at_once(address, asked["all"]))
        case method:
            return getattr(client, method)(*asked.get("of", ()))


def main() -> None:
    """Read, ask, tell."""
    address = sys.argv[1]
    answers = []
    client = triton.InferenceServerClient(address, concurrency=8)
    for asked in json.load(sys.stdin):
        try:
            answers.append({"ok": answer(address, client, asked)})
        except InferenceServerException as error:
            answers.append({"status": error.status(), "message": error.message()})
    client.close()
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
