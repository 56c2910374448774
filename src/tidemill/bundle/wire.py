"""Protocol Buffers' wire format, read without a schema compiler (https://protobuf.dev/programming-guides/encoding).

ONNX's own library is not part of the base install, and a file is audited before any library may look at it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
RUN = 6
"""No wire type of the format: what `fields` calls many repetitions of one field, taken together."""

_MODES = b"|".join(
    bytes([len(mode)]) + mode
    for mode in (b"LEAF", b"BRANCH_LEQ", b"BRANCH_LT", b"BRANCH_GTE", b"BRANCH_GT", b"BRANCH_EQ", b"BRANCH_NEQ")
)
_RUNS = re.compile(
    rb"(?:\x40[\x80-\xff]{0,8}[\x00-\x7f]){64,}+|(?:\x3d[\x00-\xff]{4}){64,}+|(?:\x4a(?:" + _MODES + rb")){64,}+"
)
"""The unpacked ints (field 8), floats (7) and strings (9) of an AttributeProto, as ensembles of trees have them."""


class Tally:
    """How many fields may still be read of one file."""

    def __init__(self, left: int) -> None:
        self.left = left


class WireError(ValueError):
    """The bytes are no message."""


def fields(message: memoryview, tally: Tally, *, runs: bool = False) -> Iterator[tuple[int, int, int | memoryview]]:
    """Number, wire type and value of each field: an int for numbers (for fixed ones their bits), else the bytes.

    With `runs`, 64 or more of an attribute's numbers in a row come as one of type RUN, with all their bytes. Raises
    WireError for what is no message, and for more fields than `tally` allows.
    """
    at, end = 0, len(message)
    while at < end:
        if runs and (run := _RUNS.match(message, at)):
            yield message[at] >> 3, RUN, message[at : run.end()]
            at = run.end()
            continue
        tally.left -= 1
        if tally.left < 0:
            raise WireError("it has more fields than can be read")
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        value: int | memoryview
        if number == 0:
            raise WireError("field number 0")
        if kind == VARINT:
            value, at = _varint(message, at)
        elif kind == LENGTH:
            length, at = _varint(message, at)
            value, at = _bytes(message, at, length), at + length
        elif kind == FIXED32:
            value, at = struct.unpack("<I", _bytes(message, at, 4))[0], at + 4
        elif kind == FIXED64:
            value, at = struct.unpack("<Q", _bytes(message, at, 8))[0], at + 8
        else:  # groups, long deprecated, and the two kinds that do not exist
            raise WireError(f"wire type {kind}")
        yield number, kind, value


def varints(packed: memoryview) -> Iterator[int]:
    """The numbers of a packed repeated field, as signed 64-bit integers."""
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        yield signed(value)


def count_varints(packed: memoryview) -> int:
    """How many numbers a packed repeated field holds: each ends with a byte below 128."""
    return sum(1 for byte in packed.tobytes() if byte < 0x80)


def signed(value: int) -> int:
    """A varint's 64 bits as a signed integer."""
    return value - (1 << 64) if value >> 63 else value


def _bytes(message: memoryview, at: int, length: int) -> memoryview:
    if at + length > len(message):
        raise WireError("a field is longer than its message")
    return message[at : at + length]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise WireError("a number is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                raise WireError("a number has more than 64 bits")
            return value, at
    raise WireError("a number has more than ten bytes")
