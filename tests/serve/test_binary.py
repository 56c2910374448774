"""Tensors in binary, as the extension of protocol v2 has them."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tidemill.domain.digest import Digest
from tidemill.errors import InputError
from tidemill.serve.binary import Binary, from_binary, split_body, to_binary

from .bundles import ROW, picture
from .conftest import App, Start

LENGTH = "Inference-Header-Content-Length"


def _infer(app: App, document: dict[str, Any], binary: bytes, **headers: str) -> Any:
    head = json.dumps(document).encode()
    headers = {LENGTH: str(len(head)), "content-type": "application/octet-stream"} | headers
    return app.post(f"/v2/models/{app.model.name}/infer", content=head + binary, headers=headers)


def _read(answer: Any) -> dict[str, Any]:
    """Outputs by name; those in binary are read from behind the JSON."""
    assert answer.status_code == 200, answer.text
    end = int(answer.headers.get(LENGTH, len(answer.content)))
    rest = memoryview(answer.content)[end:]
    found = {}
    for each in json.loads(answer.content[:end])["outputs"]:
        if "data" in each:
            found[each["name"]] = each["data"]
            continue
        size = each["parameters"]["binary_data_size"]
        found[each["name"]] = from_binary(each["name"], each["datatype"], rest[:size])
        rest = rest[size:]
    assert not rest
    return found


def _pixels() -> Any:
    return np.stack([np.asarray(Image.open(io.BytesIO(picture(at))))[:, :, None] for at in (1, 2)])


def test_pixels_in_binary_are_answered_as_in_json(made: Path, start: Start) -> None:
    app = start(made / "img")
    pixels = _pixels()
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(pixels.shape)}
    plain = _read(app.post("/v2/models/digits/infer", json={"inputs": [{**tensor, "data": pixels.tolist()}]}))
    sized = {**tensor, "parameters": {"binary_data_size": pixels.nbytes}}

    json_out = _read(_infer(app, {"inputs": [sized]}, pixels.tobytes()))
    all_binary = _infer(app, {"inputs": [sized], "parameters": {"binary_data_output": True}}, pixels.tobytes())
    outputs = [{"name": "scores", "parameters": {"binary_data": True}}, {"name": "output"}]
    mixed = _read(_infer(app, {"inputs": [sized], "outputs": outputs}, pixels.tobytes()))

    assert json_out["scores"] == pytest.approx(plain["scores"], abs=1e-6)
    assert all_binary.headers["content-type"] == "application/octet-stream"
    assert _read(all_binary)["scores"] == pytest.approx(np.array(plain["scores"]), abs=1e-6)
    assert [each.decode() for each in _read(all_binary)["output"]] == plain["output"]
    assert mixed["scores"] == pytest.approx(np.array(plain["scores"]), abs=1e-6)
    assert mixed["output"] == plain["output"]
    row = app.logged().to_pylist()[-1]
    assert np.asarray(Image.open(io.BytesIO(row["input"]))).tolist() == pixels[1, :, :, 0].tolist()
    assert row["input_digest"] == str(Digest.of_bytes(row["input"]))


def test_files_texts_and_columns_in_binary(made: Path, start: Start) -> None:
    files = b"".join(struct.pack("<I", len(each)) + each for each in (picture(1), picture(2)))
    raw = {"name": "image", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(files)}}
    texts = to_binary(["a fine day", "größer"])
    text = {"name": "text", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(texts)}}
    numbers = {
        name: np.array([value], "<f4").tobytes() for name, value in ROW.items() if isinstance(value, float | int)
    }
    columns = [
        {"name": name, "datatype": "FP32", "shape": [1, 1], "parameters": {"binary_data_size": 4}} for name in numbers
    ]

    assert len(_read(_infer(start(made / "img"), {"inputs": [raw]}, files))["output"]) == 2
    app = start(made / "txt")
    assert len(_read(_infer(app, {"inputs": [text]}, texts))["output"]) == 2
    assert app.logged()["input"].to_pylist() == [b"a fine day", "größer".encode()]
    app = start(made / "reg")
    assert len(_read(_infer(app, {"inputs": columns}, b"".join(numbers.values())))["output"]) == 1


BAD: dict[str, tuple[dict[str, Any], bytes, dict[str, str], int]] = {
    "a length that is none": ({}, b"", {LENGTH: "x"}, 400),
    "a length beyond the body": ({}, b"", {LENGTH: "9999"}, 400),
    "a size beyond the body": ({"parameters": {"binary_data_size": 500}}, b"1", {}, 422),
    "a size below none": ({"parameters": {"binary_data_size": -1}}, b"1", {}, 422),
    "a size that is true": ({"parameters": {"binary_data_size": True}}, b"1", {}, 422),
    "a cut value": ({"datatype": "FP32", "parameters": {"binary_data_size": 3}}, b"123", {}, 422),
    "bytes for nobody": ({"parameters": {"binary_data_size": 64}}, b"1" * 65, {}, 422),
    "data twice": ({"data": [1], "parameters": {"binary_data_size": 1}}, b"1", {}, 422),
    "an unknown type": ({"datatype": "FP8", "parameters": {"binary_data_size": 1}}, b"1", {}, 422),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_binary_bodies(made: Path, start: Start, name: str) -> None:
    change, binary, headers, status = BAD[name]
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 1]} | change
    answer = _infer(start(made / "img"), {"inputs": [tensor]}, binary, **headers)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(), max_size=8))
def test_texts_come_back(texts: list[str]) -> None:
    assert [each.decode() for each in from_binary("x", "BYTES", memoryview(to_binary(texts)))] == texts


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64), st.sampled_from(["BYTES", "UINT8", "INT64", "FP32", "?"]), st.binary(max_size=12))
def test_any_bytes_are_values_or_one_error(content: bytes, datatype: str, length: bytes) -> None:
    for ask in (
        lambda: from_binary("x", datatype, memoryview(content)),
        lambda: split_body({b"inference-header-content-length": length}, content),
        lambda: Binary(memoryview(content)).take("x", len(length) * 7),
    ):
        try:
            ask()
        except InputError as error:
            assert error.headline
