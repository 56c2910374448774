"""Pixels as JSON: a tensor of thousands of whole numbers, nested as its shape is.

A reader of JSON makes a list of each row of each picture, and somebody has to walk through them: four times the work of
the same numbers in one list. Where the brackets and commas stand as the shape says, and nothing else stands between
them than digits, the numbers are read as one list. That is compared byte for byte, and what is in any way different is
left to the usual reader, which knows what is wrong with it.
"""

from __future__ import annotations

import math
import secrets
from functools import lru_cache
from typing import Any, TypeGuard

import numpy as np
import orjson

SMALL = 2048  # bytes of a body in which there is nothing to win
_MANY = 1 << 20  # numbers; the brackets of larger ones are not kept
_DIMENSIONS, _LONG = 8, 1 << 31
_KEY = b'"data":'
_DIGITS = b"0123456789"
_FLAT = bytes.maketrans(b"[]", b"  ")
_HERE = secrets.token_hex(16)  # nobody else can have put it into a document
_PLACE = b'"%b"' % _HERE.encode()


def read_pixels(body: bytes) -> dict[str, Any] | None:
    """The document with the data of its one UINT8 tensor as a flat array [N] uint8; None for the usual reader."""
    at = body.find(_KEY) + len(_KEY)
    if at < len(_KEY) or body.find(_KEY, at) >= 0:
        return None
    at += body[at : at + 1] == b" "
    stop = min(body.find(b"}", at), body.find(b'"', at) & (1 << 62) - 1)
    data = body[at:stop].rstrip(b", \t\r\n") if stop > 0 else b""
    if not data.startswith(b"[") or not data.endswith(b"]"):
        return None
    try:
        document = orjson.loads(b"".join((body[:at], _PLACE, body[at + len(data) :])))
        tensor = _placed(document)
        if tensor is None or not _is_nested(data, tensor["shape"]):
            return None
        numbers = orjson.loads(b"".join((b"[", data.translate(_FLAT), b"]")))
        tensor["data"] = np.frombuffer(bytes(numbers), np.uint8)  # bytes() takes whole numbers from 0 to 255 only
    except (ValueError, TypeError, OverflowError):
        return None
    return document  # type: ignore[no-any-return]  # `_placed` has seen that it is one


def _placed(document: Any) -> dict[str, Any] | None:
    """The one tensor of the document, if the numbers stand in it, as many as its shape says at most."""
    inputs = document.get("inputs") if isinstance(document, dict) else None
    tensor = inputs[0] if isinstance(inputs, list) and len(inputs) == 1 else None
    if not isinstance(tensor, dict) or tensor.get("data") != _HERE or tensor.get("datatype") != "UINT8":
        return None
    shape = tensor.get("shape")
    return tensor if is_shape(shape) and 0 < math.prod(shape) <= _MANY else None


def is_shape(shape: Any) -> TypeGuard[list[int]]:
    """Whether it is one that a tensor may have. There is no end of numbers, nor of the time to multiply them."""
    if not isinstance(shape, list) or not 0 < len(shape) <= _DIMENSIONS:
        return False
    return all(type(each) is int and 0 <= each < _LONG for each in shape)


def _is_nested(data: bytes, shape: list[int]) -> bool:
    """Whether brackets and commas stand as the shape says, or as those of a flat list, with a number at each place."""
    between = data.translate(None, _DIGITS)
    comma = b", " if b" " in between else b","
    dimensions = tuple(shape) if between[1:2] == b"[" else (math.prod(shape),)
    return between == _brackets(dimensions, comma) and not _has_gap(data, len(comma))


def _has_gap(data: bytes, comma: int) -> bool:
    """Whether a list begins or ends without a number, which may stand where none belongs; `comma` in bytes."""
    each = np.frombuffer(data, np.uint8)
    begins, ends, commas = each == ord("["), each == ord("]"), each == ord(",")
    before = begins[:-1] & (commas[1:] | ends[1:])
    after = commas[:-comma] & ends[comma:]
    return bool(before.any() or after.any())


@lru_cache(maxsize=4)
def _brackets(dimensions: tuple[int, ...], comma: bytes) -> bytes:
    """An array of that shape without its numbers."""
    found = b""
    for size in reversed(dimensions):
        found = b"[%b]" % comma.join([found] * size)
    return found
