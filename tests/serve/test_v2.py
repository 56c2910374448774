from __future__ import annotations

import io
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tidemill.domain.digest import Digest
from tidemill.serve.binary import Binary
from tidemill.serve.tensors import read_tensors

from .bundles import ROW, picture
from .conftest import App, Start


def _tensor(name: str, datatype: str, array: Any) -> dict[str, Any]:
    array = np.asarray(array)
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.tolist()}


def _infer(app: App, *inputs: dict[str, Any], **more: Any) -> Any:
    return app.post(f"/v2/models/{app.model.name}/infer", json={"inputs": list(inputs), **more})


def _outputs(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in answer.json()["outputs"]}


def test_health_and_metadata(made: Path, start: Start) -> None:
    app = start(made / "txt")

    assert app.get("/v2").json()["name"] == "tidemill"
    assert app.get("/v2/health/live").json() == {"live": True}
    assert app.get("/v2/health/ready").json() == {"ready": True, "model": "mood", "version": 1}
    assert app.get("/v2/models/mood/ready").json() == {"name": "mood", "ready": True}
    metadata = app.get("/v2/models/mood/versions/1").json()
    assert metadata == app.get("/v2/models/mood").json()
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"][0] == {"name": "input_ids", "datatype": "INT64", "shape": [-1, -1]}
    assert metadata["outputs"][0] == {"name": "scores", "datatype": "FP32", "shape": [-1, 2]}


def test_pixels_go_straight_to_the_graph_and_are_logged_as_a_picture(made: Path, start: Start) -> None:
    app = start(made / "img")
    contents = [picture(1), picture(2)]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(content)))[:, :, None] for content in contents])
    plain = app.predict([{"b64": b64encode(content).decode()} for content in contents]).json()["predictions"]

    answer = _infer(app, _tensor("image", "UINT8", pixels), id="mine")

    outputs = _outputs(answer)
    assert answer.json()["id"] == "mine"
    assert (answer.json()["model_name"], answer.json()["model_version"]) == ("digits", "1")
    assert outputs["output"].tolist() == [row["class"] for row in plain]
    assert outputs["scores"] == pytest.approx(np.array([list(row["scores"].values()) for row in plain]), abs=1e-6)
    assert outputs["embedding"].shape == (2, 10)
    logged = app.logged().to_pylist()[2:]
    assert [row["id"] for row in logged] == answer.json()["parameters"]["prediction_ids"]
    again = np.asarray(Image.open(io.BytesIO(logged[1]["input"])))
    assert (again == pixels[1, :, :, 0]).all()


def test_a_picture_file_as_base64(made: Path, start: Start) -> None:
    app = start(made / "img")
    data = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [b64encode(picture(4)).decode()]}

    outputs = _outputs(_infer(app, data, outputs=[{"name": "output"}]))

    assert list(outputs) == ["output"]
    assert app.logged()["input"].to_pylist() == [picture(4)]


def test_token_ids_and_sentences_agree(made: Path, start: Start) -> None:
    app = start(made / "txt")
    ids, mask = [[4, 2, 5], [3, 1, 1]], [[1, 1, 1], [1, 0, 0]]

    tensors = _outputs(_infer(app, _tensor("input_ids", "INT64", ids), _tensor("attention_mask", "INT64", mask)))
    raw = {"name": "text", "datatype": "BYTES", "shape": [2], "data": ["the good tide", "bad"]}
    sentences = _outputs(_infer(app, raw))

    assert tensors["output"].tolist() == ["good", "bad"]
    assert tensors["scores"] == pytest.approx(sentences["scores"])


def test_token_ids_are_logged_by_their_digest_only(made: Path, start: Start) -> None:
    app = start(made / "txt")

    _outputs(_infer(app, _tensor("input_ids", "INT64", [[4, 2]]), _tensor("attention_mask", "INT64", [[1, 1]])))

    (logged,) = app.logged().to_pylist()
    content = b'{"attention_mask":[1,1],"input_ids":[4,2]}'
    assert (logged["input"], logged["input_digest"]) == (None, str(Digest.of_bytes(content)))


def test_as_many_tokens_as_the_model_reads_are_taken(made: Path, start: Start) -> None:
    app = start(made / "txt")
    ids, mask = [[2] * 16], [[1] * 16]

    answer = _outputs(_infer(app, _tensor("input_ids", "INT64", ids), _tensor("attention_mask", "INT64", mask)))

    assert answer["output"].tolist() == ["good"]


def test_columns_are_rows(made: Path, start: Start) -> None:
    app = start(made / "reg")

    outputs = _outputs(_infer(app, _tensor("width", "FP32", [[1.5], [0]]), _tensor("height", "FP32", [2, 4])))

    assert outputs["scores"].tolist() == [[5.5], [8.0]]
    assert outputs["output"].tolist() == ["5.5", "8.0"]


@pytest.mark.parametrize("datatype", ["FP64", "INT32", "UINT8"])
def test_a_column_of_numbers_may_be_of_any_type(made: Path, start: Start, datatype: str) -> None:
    app = start(made / "reg")

    outputs = _outputs(_infer(app, _tensor("width", datatype, [[1]]), _tensor("height", "FP32", [2])))

    assert outputs["scores"].tolist() == [[5.0]]


def test_tensors_that_wait_are_answered_together(made: Path, start: Start) -> None:
    import asyncio
    import time

    app = start(made / "img")
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1), np.uint8)

    async def nine() -> list[list[float]]:
        tensors = [_tensor("image", "UINT8", pixels[i : i + 1]) for i in range(9)]
        given = [read_tensors(app.model.bundle, {"inputs": [each]}, Binary(memoryview(b""))) for each in tensors]
        submitted = [app.service.slots[0].ask(each, time.perf_counter()) for each in given]
        return [answer.scores[0].tolist() for answer in await asyncio.gather(*submitted)]

    alone = [_outputs(_infer(app, _tensor("image", "UINT8", pixels[i : i + 1])))["scores"][0] for i in range(9)]
    assert np.array(app.call(nine)) == pytest.approx(np.array(alone), abs=1e-6)


BAD: dict[str, tuple[str, list[Any], str]] = {
    "no tensor": ("reg", [], "inputs"),
    "unknown tensor": ("reg", [_tensor("depth", "FP32", [1])], "'depth'"),
    "missing tensor": ("reg", [_tensor("width", "FP32", [1])], "'height'"),
    "wrong type": ("img", [_tensor("image", "INT64", [[[[1]]]])], "INT64"),
    "too few values": ("reg", [{"name": "width", "datatype": "FP32", "shape": [3, 1], "data": [1, 2]}], "2 values"),
    "negative shape": ("reg", [{"name": "width", "datatype": "FP32", "shape": [-1], "data": [1]}], "shape"),
    "twice": ("reg", [{"name": "width", "datatype": "FP32", "shape": [1], "data": [1]}] * 2, "given twice"),
    "endless shape": (
        "img",
        [{"name": "image", "datatype": "UINT8", "shape": [2**63 - 1] * 10_000, "data": [1]}],
        "shape",
    ),
    "no rows": ("reg", [{"name": "width", "datatype": "FP32", "shape": [0, 1], "data": []}], "0 inputs"),
    "different rows": ("reg", [_tensor("width", "FP32", [1]), _tensor("height", "FP32", [1, 2])], "first dimension"),
    "text in numbers": ("reg", [_tensor("width", "FP32", ["a"]), _tensor("height", "FP32", [1])], "'width'"),
    "not a tensor": ("reg", ["width"], "not a tensor"),
    "uneven": ("img", [{"name": "image", "datatype": "UINT8", "shape": [1, 2], "data": [[1], 2]}], "mixes"),
    "wrong pixels": ("img", [_tensor("image", "UINT8", np.zeros((1, 9, 8, 1), int))], "shape"),
    "300 in a byte": ("img", [_tensor("image", "UINT8", np.full((1, 8, 8, 1), 300))], "0 to 255"),
    "halves in bytes": ("img", [_tensor("image", "UINT8", np.full((1, 8, 8, 1), 0.5))], "whole numbers"),
    "bad base64": ("img", [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["***"]}], "base64"),
    "number as text": ("txt", [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [3]}], "not text"),
    "unknown token": (
        "txt",
        [_tensor("input_ids", "INT64", [[99]]), _tensor("attention_mask", "INT64", [[1]])],
        "does not take these tensors",
    ),
    "too many tokens": (
        "txt",
        [_tensor("input_ids", "INT64", [[2] * 17]), _tensor("attention_mask", "INT64", [[1] * 17])],
        "17 tokens in a row, the model reads 16",
    ),
    "lengths differ": (
        "txt",
        [_tensor("input_ids", "INT64", [[2, 3]]), _tensor("attention_mask", "INT64", [[1]])],
        "differ in shape",
    ),
}


@pytest.mark.parametrize(("task", "inputs", "said"), BAD.values(), ids=BAD.keys())
def test_bad_tensors(made: Path, start: Start, task: str, inputs: list[Any], said: str) -> None:
    app = start(made / task)

    answer = _infer(app, *inputs)

    assert answer.status_code == 422
    assert said in answer.json()["error"]
    assert app.logged().num_rows == 0


def test_an_unknown_output_is_named(made: Path, start: Start) -> None:
    answer = _infer(start(made / "reg"), *[_tensor(n, "FP32", [1]) for n in ROW], outputs=[{"name": "score"}])

    assert answer.status_code == 422
    assert "'score'" in answer.json()["error"]
    assert "scores" in answer.json()["error"]
