"""Tensors in binary: behind the JSON of a request or an answer stand the values, as they lie in memory, little-endian.

The header Inference-Header-Content-Length says how long the JSON is; each tensor's `binary_data_size` says how many of
the bytes behind it are its own, in the order of the tensors. A text is its length in 4 bytes, and then its UTF-8.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.errors import InputError
from tidemill.serve.failure import refusal
from tidemill.serve.inputs import parse_json
from tidemill.serve.pixels import SMALL, read_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.serve.address import Headers

LENGTH = b"inference-header-content-length"
DTYPES = {
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4",
    "INT64": "<i8", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""numpy's name of each datatype whose values have one length."""
_SIZE = struct.Struct("<I")


class Binary:
    """What stands behind the JSON; tensors take their parts of it in order."""

    def __init__(self, content: memoryview) -> None:
        self._rest = content

    def take(self, name: str, size: Any) -> memoryview:
        """The next `size` bytes, for the tensor `name`. Raises InputError."""
        if type(size) is not int or not 0 <= size <= len(self._rest):
            raise InputError(
                f"tensor {name[:60]!r} has binary_data_size {str(size)[:20]}, {len(self._rest):,} bytes are left",
                "give as many bytes as the sizes of all tensors say",
            )
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def finish(self) -> None:
        """Raises InputError when no tensor asked for what is left."""
        if self._rest:
            raise InputError(
                f"{len(self._rest):,} bytes behind the tensors belong to none", "say their binary_data_size"
            )


def split_body(headers: Headers, body: bytes) -> tuple[dict[str, Any], Binary]:
    """The document of a request, and what stands behind it. Raises InputError."""
    given = headers.get(LENGTH)
    end = len(body)
    if given is not None:
        if not given.isdigit() or len(given) > 9 or int(given) > len(body):
            raise refusal(400, "Inference-Header-Content-Length is wrong", "it is the length of the JSON in bytes")
        end = int(given)
    content = body[:end]
    document = (read_pixels(content) if end > SMALL else None) or parse_json(content)
    if not isinstance(document, dict):
        raise InputError('the body has no list "inputs"', "see /docs for an example of this protocol")
    return document, Binary(memoryview(body)[end:])


def from_binary(name: str, datatype: str, content: memoryview) -> Any:
    """The values of a tensor, flat: an array, or for BYTES a list of bytes. Raises InputError."""
    if datatype in DTYPES:
        dtype = np.dtype(DTYPES[datatype])
        if len(content) % dtype.itemsize:
            raise InputError(
                f"tensor {name[:60]!r} ends within a value", f"{datatype} has {dtype.itemsize} bytes a value"
            )
        return np.frombuffer(content, dtype)
    if datatype != "BYTES":
        raise InputError(f"tensor {name[:60]!r} has datatype {datatype[:20]!r}", f"known: {', '.join(DTYPES)}, BYTES")
    values: list[bytes] = []
    start = 0
    while start < len(content):
        if start + _SIZE.size > len(content):
            raise _cut(name)
        (length,) = _SIZE.unpack_from(content, start)
        start += _SIZE.size
        if start + length > len(content):
            raise _cut(name)
        values.append(bytes(content[start : start + length]))
        start += length
    return values


def to_binary(values: NDArray[np.float32] | Sequence[str]) -> bytes:
    """As `from_binary` reads them."""
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values, "<f4").tobytes()
    return b"".join(_SIZE.pack(len(text)) + text for text in (each.encode() for each in values))


def _cut(name: str) -> InputError:
    return InputError(f"a text of tensor {name[:60]!r} is cut off", "each is its length in 4 bytes, and then its bytes")
