"""What one run of a model answered, as one frame: quick to write, because nothing is made of it until it is read.

    1 byte    0x02, where the frames of single rows have the brace of their JSON
    4 bytes   length of the head, little-endian
    head      JSON: kind, model, version, bundle, at, ids, outputs, classes, width; and lists of the requests' forms,
              rows, latencies, lengths of content, and shapes (of a row, for tensors); one item where all are equal
    scores    float32 [rows, classes], little-endian
    embedding float32 [rows, width]
    contents  one after the other

A content is what came: the body of a request, a file, pixels. The canonical input of each row, its digest, and the PNG
of pixels are made when the frame is read, which is when the spool is sealed.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Container, Iterator, Mapping, Sequence
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
    forms, rows, contents, latencies, shapes = zip(*answered.asked, strict=True)
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
            "forms": _short(forms),
            "rows": _short(rows),
            "latencies_ms": latencies,
            "lengths": list(map(len, contents)),
            "shapes": _short(shapes),
        }
    )
    floats = (np.ascontiguousarray(array, "<f4").data for array in (answered.scores, answered.embedding))
    return b"".join((_HEAD.pack(MARK, len(head)), head, *floats, *contents))


def is_batch(payload: bytes) -> bool:
    """Whether a frame's payload is a batch."""
    return payload[:1] == bytes([MARK])


def glance(payload: bytes) -> Glance:
    """The head of a batch."""
    head, _ = _head(payload)
    latency = [ms for _, rows, ms, _, _ in _requests(head) for _ in range(rows)]
    return Glance(head["model"], head["at"], head["ids"], latency)


def read_batch(payload: bytes, only: Container[int] | None = None) -> Iterator[dict[str, Any]]:
    """Each row as the log's tables have it (`columns.SCHEMAS`), `at` in microseconds; or the rows at `only`."""
    batch = open_batch(payload)
    head = batch.head
    for at, (digest, kept, latency) in batch.inputs(only):
        yield {
            "kind": "prediction", "id": head["ids"][at], "at": head["at"], "model": head["model"],
            "version": head["version"], "bundle": head["bundle"], "input_digest": digest, "input": kept,
            "scores": batch.scores[at].tolist(), "output": head["outputs"][at],
            "embedding": batch.embedding[at].tolist(), "latency_ms": latency,
        }  # fmt: skip


class Batch(NamedTuple):
    """A frame's payload taken apart: its head, floats [rows, …], and the contents of its requests."""

    head: dict[str, Any]
    scores: NDArray[np.float32]
    embedding: NDArray[np.float32]
    contents: memoryview

    def inputs(self, only: Container[int] | None = None) -> Iterator[tuple[int, tuple[str, bytes | None, float]]]:
        """Of each row, or of the rows at `only`: its place, and the input's digest, the input if it is kept, and the
        latency in milliseconds."""
        row = start = 0
        for form, count, latency, length, shape in _requests(self.head):
            wanted = [at for at in range(count) if only is None or row + at in only]
            if wanted:
                content = bytes(self.contents[start : start + length])
                for at, found in zip(wanted, _inputs(form, count, content, shape, wanted), strict=True):
                    kept = found if form != "plain" and len(found) <= MAX_INPUT else None
                    yield row + at, (str(Digest.of_bytes(found)), kept, latency)
            start += length
            row += count


def open_batch(payload: bytes) -> Batch:
    """Take a batch apart; nothing is made of its requests yet."""
    head, start = _head(payload)
    rows, view = len(head["ids"]), memoryview(payload)
    middle = start + 4 * rows * head["classes"]
    end = middle + 4 * rows * head["width"]
    scores = np.frombuffer(view[start:middle], "<f4").reshape(rows, head["classes"])
    return Batch(head, scores, np.frombuffer(view[middle:end], "<f4").reshape(rows, head["width"]), view[end:])


def _short(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, or one where all are the same."""
    return values[:1] if values.count(values[0]) == len(values) else values


def _requests(head: Mapping[str, Any]) -> Iterator[tuple[str, int, float, int, list[int]]]:
    """Of each request its form, rows, latency in milliseconds, length of the content, and shape."""
    number = len(head["lengths"])
    forms, rows, shapes = (head[key] * (number if len(head[key]) == 1 else 1) for key in ("forms", "rows", "shapes"))
    return zip(forms, rows, head["latencies_ms"], head["lengths"], shapes, strict=True)


def _head(payload: bytes) -> tuple[dict[str, Any], int]:
    """The head, and where it ends."""
    _, length = _HEAD.unpack_from(payload)
    end = _HEAD.size + length
    head: dict[str, Any] = orjson.loads(memoryview(payload)[_HEAD.size : end])
    return head, end


def _inputs(form: str, rows: int, content: bytes, shape: list[int], wanted: Sequence[int]) -> Iterator[bytes]:
    """The canonical inputs of the wanted rows of a request.

    In the form `plain` they are of tensors: nobody must take them for the requests that these were made of.
    """
    match form:
        case "file":
            yield content
        case "rows" | "texts":
            inputs = orjson.loads(content)["inputs"]
            yield from (canonical_json(inputs[at]) if form == "rows" else inputs[at].encode() for at in wanted)
        case "pixels":
            pixels = np.frombuffer(content, np.uint8).reshape(rows, *shape)
            yield from (_png(pixels[at]) for at in wanted)
        case _:
            plain = orjson.loads(content)
            yield from (canonical_json(plain[at]) for at in wanted)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
