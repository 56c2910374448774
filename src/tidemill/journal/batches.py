"""What one run of a model answered, as one frame: quick to write, because nothing is made of it until it is read.

    1 byte    0x02, where the frames of single rows have the brace of their JSON
    4 bytes   length of the head, little-endian
    head      JSON: kind, model, version, bundle, at, ids, outputs, classes, width, and of each request its form, rows,
              latency and the length of its content (and for tensors the shape of a row)
    scores    float32 [rows, classes], little-endian
    embedding float32 [rows, width]
    contents  one after the other

A content is what came: the body of a request, a file, pixels. The canonical input of each row, its digest, and the PNG
of pixels are made when the frame is read, which is when the spool is sealed.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from tidemill.domain.digest import Digest, canonical_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.ports import Answered

MARK = 2
MAX_INPUT = 1 << 20  # bytes; of a larger input the log keeps the digest only
_HEAD = struct.Struct("<BI")


class Glance(NamedTuple):
    """What is known of a batch without reading its contents: `latency_ms` of each row, `at` in microseconds."""

    model: str
    at: int
    ids: list[str]
    latency_ms: list[float]


def batch_payload(answered: Answered) -> bytes:
    """`answered` as a frame's payload."""
    head = orjson.dumps(
        {
            "kind": "batch",
            "model": answered.model,
            "version": answered.version,
            "bundle": answered.bundle,
            "at": answered.at,
            "ids": answered.ids,
            "outputs": answered.outputs,
            "classes": answered.scores.shape[1],
            "width": answered.embedding.shape[1],
            "asked": [
                (each.form, each.rows, each.latency_ms, len(each.content), each.shape) for each in answered.asked
            ],
        }
    )
    floats = (np.ascontiguousarray(array, "<f4").data for array in (answered.scores, answered.embedding))
    contents = (each.content for each in answered.asked)
    return b"".join((_HEAD.pack(MARK, len(head)), head, *floats, *contents))


def is_batch(payload: bytes) -> bool:
    """Whether a frame's payload is a batch."""
    return payload[:1] == bytes([MARK])


def glance(payload: bytes) -> Glance:
    """The head of a batch."""
    head, _ = _head(payload)
    latency = [ms for _, rows, ms, _, _ in head["asked"] for _ in range(rows)]
    return Glance(head["model"], head["at"], head["ids"], latency)


def read_batch(payload: bytes, only: int | None = None) -> Iterator[dict[str, Any]]:
    """Each row as the log's tables have it (`columns.SCHEMAS`), `at` in microseconds; or the row at `only` alone."""
    head, start = _head(payload)
    rows, view = len(head["ids"]), memoryview(payload)
    parts = []
    for width in (head["classes"], head["width"]):
        end = start + 4 * rows * width
        parts.append(np.frombuffer(view[start:end], "<f4").reshape(rows, width))
        start = end
    scores, embedding = parts
    row = 0
    for form, count, latency, length, shape in head["asked"]:
        content = bytes(view[start : start + length])
        start += length
        if only is None or row <= only < row + count:
            for at, (found, kept) in enumerate(_inputs(form, count, content, shape), row):
                if only in (None, at):
                    yield {
                        "kind": "prediction", "id": head["ids"][at], "at": head["at"], "model": head["model"],
                        "version": head["version"], "bundle": head["bundle"],
                        "input_digest": str(Digest.of_bytes(found)),
                        "input": found if kept and len(found) <= MAX_INPUT else None,
                        "scores": scores[at].tolist(), "output": head["outputs"][at],
                        "embedding": embedding[at].tolist(), "latency_ms": latency,
                    }  # fmt: skip
        row += count


def _head(payload: bytes) -> tuple[dict[str, Any], int]:
    """The head, and where it ends."""
    _, length = _HEAD.unpack_from(payload)
    end = _HEAD.size + length
    head: dict[str, Any] = orjson.loads(memoryview(payload)[_HEAD.size : end])
    return head, end


def _inputs(form: str, rows: int, content: bytes, shape: list[int]) -> Iterator[tuple[bytes, bool]]:
    """The canonical input of each row, and whether it is one that a client could have sent raw."""
    match form:
        case "file":
            yield content, True
        case "rows":
            for row in orjson.loads(content)["inputs"]:
                yield canonical_json(row), True
        case "texts":
            for text in orjson.loads(content)["inputs"]:
                yield text.encode(), True
        case "pixels":
            for pixels in np.frombuffer(content, np.uint8).reshape(rows, *shape):
                yield _png(pixels), True
        case _:  # one JSON list: canonical inputs of tensors that nobody must take for what they were made of
            for plain in orjson.loads(content):
                yield canonical_json(plain), False


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
