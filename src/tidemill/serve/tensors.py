"""Tensors of the Open Inference Protocol to inputs of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from tidemill.domain.bundle import Bundle, Signature, Tensor, TextPreprocessing
from tidemill.errors import InputError, ItemError, nearest
from tidemill.ports import Asked
from tidemill.serve.inputs import MAX_ROWS, decode_base64, files, rows
from tidemill.serve.job import Given

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.ports import Raw

DATATYPES = {"uint8": "UINT8", "int64": "INT64", "float32": "FP32", "str": "BYTES"}
"""The protocol's name of each dtype of a signature."""

RAW_INPUT = {"image": "image", "text": "text"}
"""By task, the name under which a BYTES tensor carries raw inputs: base64 of a file, or a sentence."""


class _Part(NamedTuple):
    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


def read_tensors(bundle: Bundle, document: Any) -> Given:
    """The inputs in the body of an infer request. Raises InputError."""
    signature = bundle.signature
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list) or not document["inputs"]:
        raise InputError('the body has no list "inputs"', "see /docs for an example of this protocol")
    parts = {part.name: part for part in map(_part, document["inputs"])}
    numbers = {part.shape[0] for part in parts.values()}
    if len(numbers) != 1:
        raise InputError("the tensors differ in their first dimension", "it is the number of inputs in all of them")
    if not 0 < numbers.copy().pop() <= MAX_ROWS[signature.task]:
        raise InputError(
            f"{numbers.pop():,} inputs in one request", f"send 1 to {MAX_ROWS[signature.task]:,} at a time"
        )
    raw = parts.get(RAW_INPUT.get(signature.task, ""))
    if raw is not None and raw.datatype == "BYTES" and len(parts) == 1:
        return _raw_inputs(signature, raw)
    _check_names(parts, [tensor.name for tensor in signature.inputs])
    if signature.task == "tabular":
        return rows("tabular", _rows(signature, parts))
    if isinstance(bundle.preprocessing, TextPreprocessing):
        _check_lengths(parts, bundle.preprocessing.max_length)
    return _given(_feed(signature, parts))


def _part(plain: Any) -> _Part:
    if not isinstance(plain, dict):
        raise InputError('an item of "inputs" is not a tensor', "each needs name, datatype, shape and data")
    name, datatype, shape, data = (plain.get(key) for key in ("name", "datatype", "shape", "data"))
    if not isinstance(name, str) or not isinstance(datatype, str) or not isinstance(data, list):
        raise InputError("a tensor lacks name, datatype or data", "each needs name, datatype, shape and data")
    if not isinstance(shape, list) or not shape or any(type(each) is not int or each < 0 for each in shape):
        raise InputError(f"the shape of tensor {name[:60]!r} is wrong", "it is a list of whole numbers")
    flat = _flatten(data)
    if len(flat) != math.prod(shape):
        raise InputError(
            f"tensor {name[:60]!r} has {len(flat):,} values, its shape {shape[:6]} asks for {math.prod(shape):,}",
            "give as many values as the shape says",
        )
    return _Part(name, datatype, shape, flat)


def _flatten(data: list[Any]) -> list[Any]:
    while data and isinstance(data[0], list):
        if not all(isinstance(each, list) for each in data):
            raise InputError("the data of a tensor mixes lists and values", "nest it evenly, or give it flat")
        data = [value for each in data for value in each]
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
    for index, value in enumerate(part.data):
        if not isinstance(value, str):
            raise ItemError(index, f"value {index} of {part.name!r} is not text", "BYTES are strings in JSON")
    if signature.task == "text":
        return rows("text", part.data)
    return files([decode_base64(i, value) for i, value in enumerate(part.data)])


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
    """Columns as rows, which are checked as those of the plain address are."""
    for tensor in signature.inputs:
        part = parts[tensor.name]
        _check_type(tensor, part)
        if len(part.data) != part.shape[0]:
            raise InputError(f"the shape of tensor {part.name!r} is {part.shape[:6]}", "a column is [N, 1] or [N]")
    names = list(parts)
    return [dict(zip(names, values, strict=True)) for values in zip(*(parts[n].data for n in names), strict=True)]


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
    try:
        values = np.asarray(part.data)
        if values.dtype.kind not in "iu" or values.dtype == np.bool_:
            raise ValueError("whole numbers are needed")
        limits = np.iinfo(tensor.dtype)
        if values.min() < limits.min or values.max() > limits.max:
            raise ValueError(f"{DATATYPES[tensor.dtype]} holds {limits.min} to {limits.max}")
    except (ValueError, OverflowError) as error:
        raise InputError(f"the data of tensor {part.name!r} is wrong", str(error)[:100]) from None
    return values.astype(tensor.dtype).reshape(part.shape)
