"""Bodies of requests to raw inputs, by the task of the model."""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from tidemill.domain.dataset import Task
from tidemill.errors import InputError, ItemError, nearest
from tidemill.ports import Asked
from tidemill.serve.failure import refusal
from tidemill.serve.job import Given
from tidemill.serve.uploads import read_files

if TYPE_CHECKING:
    from tidemill.ports import Raw

MAX_ROWS: Mapping[Task, int] = {"image": 1024, "text": 4096, "tabular": 16384}
"""Inputs in one request."""

_EXAMPLE: Mapping[Task, str] = {
    "image": '{"inputs": [{"b64": "…"}]}, or a file:  curl -F file=@x.png …',
    "text": '{"inputs": ["a sentence"]}',
    "tabular": '{"inputs": [{"column": 1.5}]}',
}
_JSON = frozenset({"application/json", "", "text/json", "text/plain", "application/x-www-form-urlencoded"})
"""What a body may say that it is: JSON, nothing, or what clients say (curl -d, fetch) who were not told what it is."""
_SHOWN = 200
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip, Zstandard
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")


def parse_json(body: bytes) -> Any:
    """The body as JSON. Raises InputError with status 400."""
    if not body:
        raise refusal(400, "the body is empty", "send JSON; see /docs for an example")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _no_json(body, error.msg) from None


def _no_json(body: bytes, why: str) -> InputError:
    if body.startswith(_COMPRESSED):
        return refusal(415, "the body is compressed", "say so:  Content-Encoding: gzip  is taken, or send it as it is")
    if body.startswith(_PICTURES):
        return refusal(
            415, "the body is a picture, and its Content-Type does not say so",
            "curl -H 'Content-Type: image/png' --data-binary @x.png …, or curl -F file=@x.png …",
        )  # fmt: skip
    return refusal(400, f"the body is not JSON: {why[:_SHOWN]}", "see /docs for an example; NaN is no JSON")


def read_inputs(task: Task, content_type: str, body: bytes) -> Given:
    """The raw inputs of a request, at least one: files where the content type says so, else JSON.

    Raises InputError: 400 for a body that cannot be read, 415 for one that is said to be something else, 422 for wrong
    content.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data" or kind.startswith(("image/", "audio/", "video/")):
        if task != "image" or not kind.startswith(("image/", "multipart/")):
            raise refusal(415, f"this model takes {task}, not {kind}", f"send JSON: {_EXAMPLE[task]}")
        return files(read_files(content_type, body) if kind.startswith("multipart/") else [body])
    if kind not in _JSON and not kind.endswith("+json") and not body.startswith(_PICTURES):
        raise refusal(415, f"the body is said to be {kind[:60]}", f"send JSON: {_EXAMPLE[task]}, as application/json")
    inputs = _from_document(task, parse_json(body))
    if task == "image":
        return files([decode_picture(index, item) for index, item in enumerate(inputs)])
    return Given(inputs, None, len(inputs), (Asked("texts" if task == "text" else "rows", len(inputs), body, 0.0),))


def files(contents: Sequence[bytes]) -> Given:
    """Pictures, each in a file."""
    return Given(contents, None, len(contents), tuple(Asked("file", 1, content, 0.0) for content in contents))


def rows(task: Task, inputs: Sequence[Raw]) -> Given:
    """Rows or sentences that did not come as the plain address has them; the log keeps them as if they had."""
    body = orjson.dumps({"inputs": inputs})
    return Given(inputs, None, len(inputs), (Asked("texts" if task == "text" else "rows", len(inputs), body, 0.0),))


def _from_document(task: Task, document: Any) -> list[Any]:
    if not isinstance(document, dict) or "inputs" not in document:
        hint = f"send {_EXAMPLE[task]}"
        if isinstance(document, dict) and document:
            hint = f"{hint}; found {json.dumps(next(iter(document))[:60])}"
        raise InputError('the body has no "inputs"', hint)
    for key in document:
        if key != "inputs":
            raise InputError(f"unknown field {key[:60]!r}", nearest(key, ["inputs"], kind="fields"))
    inputs = document["inputs"]
    if not isinstance(inputs, list):
        raise InputError('"inputs" is not a list', f"send {_EXAMPLE[task]}")
    if not inputs:
        raise InputError('"inputs" is empty', f"send {_EXAMPLE[task]}")
    if len(inputs) > MAX_ROWS[task]:
        raise InputError(f"{len(inputs):,} inputs in one request", f"send at most {MAX_ROWS[task]:,} at a time")
    return inputs


def decode_picture(index: int, item: Any) -> bytes:
    """The file in {"b64": "…"}. Raises ItemError."""
    if not isinstance(item, dict) or set(item) != {"b64"} or not isinstance(item["b64"], str):
        raise ItemError(
            index, f'input {index} is not a picture: {{"b64": "…"}} is expected', "send base64 of a PNG file"
        )
    return decode_base64(index, item["b64"])


def decode_base64(index: int, text: str) -> bytes:
    """Raises ItemError."""
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        if text.startswith("data:"):
            raise ItemError(index, f"input {index} is a data: address", "send what is behind its comma") from None
        raise ItemError(index, f"input {index} is not base64", "encode the file's bytes:  base64 -w0 x.png") from None
