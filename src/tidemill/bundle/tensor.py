"""The audit of one tensor in an ONNX file (TensorProto): its data is in the file, and as large as its shape says."""

from __future__ import annotations

import math
from itertools import islice

from tidemill.bundle.wire import LENGTH, Tally, count_varints, fields, signed, varints
from tidemill.errors import BundleError

RANK = 16
"""More numbers than this are not taken for a shape."""

_PLAIN = {8, 12, 16}  # fields that are not looked at

_STRING = 8
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
         17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8}  # fmt: skip


def audit(message: memoryview, tally: Tally) -> tuple[str, int]:
    """The tensor's name, and the elements it asks for when used as a shape (0: it cannot be). Raises BundleError."""
    dims: list[int] = []
    dtype = stored = 0
    raw: memoryview | None = None
    integers: list[int] = []
    name = ""
    for number, kind, value in fields(message, tally):
        if number == 1:
            dims += varints(value) if isinstance(value, memoryview) else [signed(value)]
        elif number == 2 and isinstance(value, int):
            dtype = value
        elif number == 9 and isinstance(value, memoryview) and raw is None:
            raw = value
        elif number in (4, 5, 6, 7, 10, 11):
            stored += 1 if number == 6 or isinstance(value, int) else _stored(number, value)
            if number == 7 and len(integers) <= RANK:
                integers += islice(varints(value), RANK + 1) if isinstance(value, memoryview) else [signed(value)]
        elif number in (13, 14) and (kind == LENGTH or value):
            raise refused("it keeps a tensor outside the file")
        elif number == 8 and isinstance(value, memoryview):
            name = text(value)
        elif number not in _PLAIN and number != 14:
            raise refused(f"a tensor has a field of unknown meaning or kind ({number})")
    _check_size(dims, dtype, raw, stored, name)
    return name, _product_of_values(dtype, raw, integers)


def _stored(number: int, packed: memoryview) -> int:
    """Numbers in a packed field of a TensorProto: 4 float_data, 10 double_data, else varints."""
    return {4: len(packed) // 4, 10: len(packed) // 8}[number] if number in (4, 10) else count_varints(packed)


def _check_size(dims: list[int], dtype: int, raw: memoryview | None, stored: int, name: str) -> None:
    if any(size < 0 for size in dims):
        raise refused(f"the tensor {name!r} has a negative size")
    elements = math.prod(dims)
    if dtype == _STRING:
        have, need = stored, elements
    elif dtype not in _BITS:
        raise refused(f"the tensor {name!r} has an unknown type ({dtype})")
    elif raw is not None:
        have, need = len(raw) + stored, -(-elements * _BITS[dtype] // 8)
    else:
        pair = dtype in (14, 15)  # complex numbers are stored as two
        have, need = stored, -(-elements // 2) if _BITS[dtype] == 4 else elements * (1 + pair)
    if have != need:
        raise refused(f"the tensor {name!r} says it has {elements:,} elements, and its data has another size")


def _product_of_values(dtype: int, raw: memoryview | None, integers: list[int]) -> int:
    """The number of elements of a tensor of this shape, when this small int64 tensor is one; else 0."""
    if dtype != 7 or (raw is not None and len(raw) > 8 * RANK) or len(integers) > RANK:
        return 0
    values = list(integers)
    if raw is not None:
        values += [int.from_bytes(raw[at : at + 8], "little", signed=True) for at in range(0, len(raw), 8)]
    return elements(values)


def elements(shape: list[int]) -> int:
    """How many a tensor of this shape has, 0 and the unknown counted as 1."""
    return math.prod(max(1, abs(size)) for size in shape)


def text(value: memoryview) -> str:
    """A name as text. Raises UnicodeDecodeError."""
    return str(value, "utf-8")


def refused(problem: str) -> BundleError:
    """The error for a graph that has this `problem`."""
    return BundleError(
        f"model.onnx is refused: {problem}", "use a bundle that tidemill exported, from a source you trust"
    )
