"""Tensors of the Open Inference Protocol to inputs of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from tidemill.domain.bundle import Bundle, Signature, Tensor, TextPreprocessing
from tidemill.errors import InputError, ItemError, nearest
from tidemill.ports import Asked
from tidemill.serve.binary import DTYPES, Binary, from_binary
from tidemill.serve.inputs import MAX_ROWS, decode_base64, files, rows
from tidemill.serve.job import Given
from tidemill.serve.pixels import is_shape
from tidemill.serve.wishes import refuse_shared_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.ports import Raw

DATATYPES = {"uint8": "UINT8", "int64": "INT64", "float32": "FP32", "str": "BYTES"}
"""The protocol's name of each dtype of a signature."""

RAW_INPUT = {"image": "image", "text": "text"}
"""By task, the name under which a BYTES tensor carries raw inputs: base64 of a file, or a sentence."""


_DATA = (list, np.ndarray)  # of JSON, or of what `read_pixels` has read


class _Part(NamedTuple):
    name: str
    datatype: str
    shape: list[int]
    data: Any  # flat: a list, or from binary an array, or a list of bytes


def read_tensors(bundle: Bundle, document: dict[str, Any], binary: Binary) -> Given:
    """The inputs in the document of an infer request, and in what stands behind it. Raises InputError."""
    signature = bundle.signature
    if not isinstance(document.get("inputs"), list) or not document["inputs"]:
        raise InputError('the body has no list "inputs"', "see /docs for an example of this protocol")
    parts: dict[str, _Part] = {}
    for each in document["inputs"]:
        part = _part(each, binary)
        if part.name in parts:
            raise InputError(f"the tensor {part.name[:60]!r} is given twice", "give each tensor once")
        parts[part.name] = part
    binary.finish()
    numbers = {part.shape[0] for part in parts.values()}
    if len(numbers) != 1:
        raise InputError("the tensors differ in their first dimension", "it is the number of inputs in all of them")
    if not 0 < (number := numbers.pop()) <= MAX_ROWS[signature.task]:
        raise InputError(f"{number:,} inputs in one request", f"send 1 to {MAX_ROWS[signature.task]:,} at a time")
    raw = parts.get(RAW_INPUT.get(signature.task, ""))
    if raw is not None and raw.datatype == "BYTES" and len(parts) == 1:
        return _raw_inputs(signature, raw)
    _check_names(parts, [tensor.name for tensor in signature.inputs])
    if signature.task == "tabular":
        return rows("tabular", _rows(signature, parts))
    if isinstance(bundle.preprocessing, TextPreprocessing):
        _check_lengths(parts, bundle.preprocessing.max_length)
    return _given(_feed(signature, parts))


def _part(plain: Any, binary: Binary) -> _Part:
    if not isinstance(plain, dict):
        raise InputError('an item of "inputs" is not a tensor', "each needs name, datatype, shape and data")
    name, datatype, shape, data = (plain.get(key) for key in ("name", "datatype", "shape", "data"))
    parameters = plain.get("parameters")
    size = None
    if isinstance(parameters, dict):
        size = parameters.get("binary_data_size")
        refuse_shared_memory(parameters)
    if not isinstance(name, str) or not isinstance(datatype, str) or (size is None and not isinstance(data, _DATA)):
        raise InputError("a tensor lacks name, datatype or data", "each needs name, datatype, shape and data")
    if not is_shape(shape):
        raise InputError(f"the shape of tensor {name[:60]!r} is wrong", "it is a list of at most eight whole numbers")
    if size is not None and data is not None:
        raise InputError(f"tensor {name[:60]!r} has data and binary_data_size", "give one of the two")
    if size is not None:
        flat = from_binary(name, datatype, binary.take(name, size))
    else:
        flat = _flatten(data) if isinstance(data, list) else data
    if len(flat) != math.prod(shape):
        raise InputError(
            f"tensor {name[:60]!r} has {len(flat):,} values, its shape {shape[:6]} asks for {math.prod(shape):,}",
            "give as many values as the shape says",
        )
    return _Part(name, datatype, shape, flat)


def _flatten(data: list[Any]) -> list[Any]:
    while data and isinstance(data[0], list):
        if not {list}.issuperset(map(type, data)):
            raise InputError("the data of a tensor mixes lists and values", "nest it evenly, or give it flat")
        data = list(chain.from_iterable(data))
    return data


def _check_names(parts: Mapping[str, _Part], known: list[str]) -> None:
    for name in parts:
        if name not in known:
            raise InputError(f"unknown tensor {name[:60]!r}", nearest(name, known, kind="tensors"))
    for name in known:
        if name not in parts:
            raise InputError(f"the tensor {name!r} is missing", f"tensors: {', '.join(known[:8])}")


def _check_lengths(parts: Mapping[str, _Part], most: int) -> None:
    for part in parts.values():
        if len(part.shape) == 2 and part.shape[1] > most:
            raise InputError(
                f"tensor {part.name!r} has {part.shape[1]:,} tokens in a row, the model reads {most:,} at most",
                "cut each row, or send the text itself, which is cut here",
            )


def _raw_inputs(signature: Signature, part: _Part) -> Given:
    if signature.task == "text":
        return rows("text", [_text(part.name, index, value) for index, value in enumerate(part.data)])
    return files(
        [
            value if isinstance(value, bytes) else decode_base64(index, _text(part.name, index, value))
            for index, value in enumerate(part.data)
        ]
    )


def _text(name: str, index: int, value: Any) -> str:
    """A value of a BYTES tensor: text in JSON, UTF-8 in binary."""
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        raise ItemError(index, f"value {index} of {name!r} is not text", "BYTES are strings in JSON")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ItemError(index, f"value {index} of {name!r} is not UTF-8", "send text as UTF-8") from None


def _given(feed: dict[str, NDArray[Any]]) -> Given:
    """Pixels are kept as such. Token ids as JSON, which nobody must take for the sentence that they were."""
    number = len(next(iter(feed.values())))
    if "image" in feed:
        pixels = np.ascontiguousarray(feed["image"])
        kept = Asked("pixels", number, pixels.tobytes(), 0.0, pixels.shape[1:])
    else:
        plain = [{name: array[row].tolist() for name, array in feed.items()} for row in range(number)]
        kept = Asked("plain", number, orjson.dumps(plain), 0.0)
    return Given(None, feed, number, (kept,), tuple(feed[name].shape[1:] for name in sorted(feed)))


def _rows(signature: Signature, parts: Mapping[str, _Part]) -> list[Raw]:
    """Columns as rows, which are checked as those of the plain address are: numbers may be of any type."""
    for tensor in signature.inputs:
        part = parts[tensor.name]
        if tensor.dtype != "float32" or part.datatype not in DTYPES:
            _check_type(tensor, part)
        if len(part.data) != part.shape[0]:
            raise InputError(f"the shape of tensor {part.name!r} is {part.shape[:6]}", "a column is [N, 1] or [N]")
    names = list(parts)
    columns = [_plain(name, parts[name].data) for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _plain(name: str, data: Any) -> list[Any]:
    """A column as JSON would have given it."""
    if isinstance(data, np.ndarray):
        numbers: list[Any] = data.tolist()
        return numbers
    return [_text(name, at, value) if isinstance(value, bytes) else value for at, value in enumerate(data)]


def _feed(signature: Signature, parts: Mapping[str, _Part]) -> dict[str, NDArray[Any]]:
    feed: dict[str, NDArray[Any]] = {}
    for tensor in signature.inputs:
        part = parts[tensor.name]
        _check_type(tensor, part)
        if len(part.shape) != len(tensor.shape) or any(
            asked not in (-1, given) for given, asked in zip(part.shape, tensor.shape, strict=True)
        ):
            raise InputError(f"tensor {part.name!r} has shape {part.shape[:6]}", f"it takes {list(tensor.shape)}")
        feed[tensor.name] = _array(tensor, part)
    lengths = {array.shape for array in feed.values()}
    if signature.task == "text" and len(lengths) != 1:
        raise InputError("the tensors differ in shape", "input_ids and attention_mask have one shape")
    return feed


def _check_type(tensor: Tensor, part: _Part) -> None:
    asked = DATATYPES[tensor.dtype]
    if part.datatype != asked:
        raise InputError(f"tensor {part.name!r} has datatype {part.datatype[:20]!r}", f"it takes {asked}")


def _array(tensor: Tensor, part: _Part) -> NDArray[Any]:
    if isinstance(part.data, np.ndarray):
        return part.data.astype(tensor.dtype, copy=False).reshape(part.shape)
    try:
        if not {int}.issuperset(map(type, part.data)):
            raise ValueError("whole numbers are needed")
        if tensor.dtype == "uint8":
            values = np.frombuffer(bytes(part.data), np.uint8)  # which checks the range, and is quick
        else:
            values = np.array(part.data, tensor.dtype)
    except (ValueError, OverflowError) as error:
        limits = np.iinfo(tensor.dtype)
        known = "whole numbers" in str(error)
        holds = f"{DATATYPES[tensor.dtype]} holds {limits.min} to {limits.max}"
        raise InputError(f"the data of tensor {part.name!r} is wrong", str(error) if known else holds) from None
    return values.reshape(part.shape)
