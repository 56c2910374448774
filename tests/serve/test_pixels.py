"""The quick reader of pixels reads what the usual one reads, or leaves it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from tidemill.serve.pixels import read_pixels

_SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4)
_ODD = [b"[", b"]", b",", b" ", b"7", b"00", b"-", b".", b"e", b"}", b'"', b"true", b"\n", b"1 2", b"null", b"300", b""]


def _body(shape: list[int], seed: int, *, flat: bool = False, spaced: bool = False, **more: Any) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, shape)
    data = (values.ravel() if flat else values).tolist()
    tensor = {"name": "image", "datatype": "UINT8", "shape": shape, "data": data, **more}
    return json.dumps({"id": "x", "inputs": [tensor]}, separators=(", ", ": ") if spaced else (",", ":")).encode()


def _usual(body: bytes) -> Any:
    document = orjson.loads(body)
    flat = np.array(document["inputs"][0]["data"]).ravel()
    document["inputs"][0]["data"] = flat.tolist()
    return document


@given(_SHAPES, st.integers(0, 9), st.booleans(), st.booleans(), st.sampled_from([{}, {"parameters": {"a": 1}}]))
def test_it_reads_what_the_usual_reader_reads(
    shape: list[int], seed: int, flat: bool, spaced: bool, more: dict[str, Any]
) -> None:
    body = _body(shape, seed, flat=flat, spaced=spaced, **more)
    found = read_pixels(body)
    assert found is not None
    assert found["inputs"][0]["data"].dtype == np.uint8
    found["inputs"][0]["data"] = found["inputs"][0]["data"].tolist()
    assert found == _usual(body)


@given(_SHAPES, st.integers(0, 9), st.floats(0, 1), st.integers(0, 2), st.sampled_from(_ODD), st.booleans())
@example([1, 1, 2], 0, 0.5, 0, b"5", False)
def test_what_is_no_such_json_is_left(
    shape: list[int], seed: int, where: float, cut: int, odd: bytes, spaced: bool
) -> None:
    body = _body(shape, seed, spaced=spaced)
    at = round(where * len(body))
    mutated = body[:at] + odd + body[at + cut :]
    found = read_pixels(mutated)
    if found is None:
        return
    found["inputs"][0]["data"] = found["inputs"][0]["data"].tolist()
    assert found == _usual(mutated), "what was read is what stands there; if that is no JSON, this raises"


def test_digits_at_a_wrong_place_are_no_numbers() -> None:
    for data in ("[5[,2]]", "[[5,]2]", "[[1,2]3]", "[1[2,3]]", "[[1 2,3]]", "[[01,2]]", "[[1,2],]", "[,[1,2]]"):
        tensor = f'{{"name":"image","datatype":"UINT8","shape":[1,2],"data":{data}}}'
        assert read_pixels(f'{{"inputs":[{tensor}]}}'.encode()) is None, data


def test_a_shape_without_end_takes_no_time() -> None:
    """The product of such numbers, or the brackets of so many ones, would take hours."""
    for shape in ([9223372036854775807] * 50_000, [1] * 300_000, [-1, 2], [], [True, 2], [0]):
        tensor = {"name": "image", "datatype": "UINT8", "shape": shape, "data": [[1]]}
        body = json.dumps({"inputs": [tensor]}).encode()
        assert read_pixels(body) is None


def test_numbers_that_are_no_bytes_and_other_tensors_are_left() -> None:
    for datatype, data in (
        ("UINT8", "[[1,256]]"),
        ("UINT8", "[[1,true]]"),
        ("UINT8", "[[1,1.5]]"),
        ("INT64", "[[1,2]]"),
    ):
        tensor = f'{{"name":"image","datatype":"{datatype}","shape":[1,2],"data":{data}}}'
        assert read_pixels(f'{{"inputs":[{tensor}]}}'.encode()) is None, data
    one = '{"name":"a","datatype":"UINT8","shape":[1],"data":[1]}'
    assert read_pixels(f'{{"inputs":[{one},{one}]}}'.encode()) is None
    assert read_pixels(b'{"inputs":[{"name":"a","datatype":"UINT8","shape":[1],"x":{"data":[1]}}]}') is None
    assert read_pixels(b'{"inputs":[{"name":"a","datatype":"UINT8","shape":[1048577],"data":[1]}]}') is None
