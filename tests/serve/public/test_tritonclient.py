"""NVIDIA's public client speaks with the server: both forms of tensors, all tasks, and what goes wrong."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.serve import bundles
from tests.serve.bundles import picture
from tests.serve.conftest import store
from tidemill.project.layout import Layout

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tritonclient")]
SENTENCES = ["the good tide", "bad bad", "größer the bad"]
ROWS = [{"width": 1.5, "height": 2.0}, {"width": -3.25, "height": 0.1}, {"width": 4.0, "height": 1e-3}]
Ask = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def url(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Pictures (versions 1 and 7), a table to classes and one to a number, sentences."""
    root = tmp_path_factory.mktemp("served")
    (root / "tidemill.toml").write_text('[project]\nname = "digits"\ntask = "image"\n')
    layout = Layout(root)
    for number, alias in ((1, "champion"), (7, "seven")):
        bundles.publish(layout.serving, store(layout, seed=number), number, alias=alias)
    served = ["digits@champion", "digits@seven", *(str(made / each) for each in ("tab", "reg", "txt"))]
    command = [sys.executable, "-m", "tidemill", "serve", *served, "--port", "0", "--log", str(layout.log)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            ready = process.stdout.readline()
            assert ready.startswith("ready: "), ready
            yield ready.split(" at ")[1].split()[0]
        finally:
            process.terminate()
    assert process.returncode == 0


@pytest.fixture(scope="module")
def ask(url: str, client_python: Path) -> Ask:
    def through_client(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        command = [str(client_python), str(Path(__file__).with_name("client.py")), url.removeprefix("http://")]
        done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    return through_client


def numbers(name: str, datatype: str, array: Any) -> dict[str, Any]:
    raw = b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "raw": raw}


def texts(name: str, items: list[bytes]) -> dict[str, Any]:
    encoded = [b64encode(each).decode() for each in items]
    return {"name": name, "datatype": "BYTES", "shape": [len(items)], "items": encoded}


def infer(model: str, *inputs: dict[str, Any], binary: bool, **more: Any) -> dict[str, Any]:
    outputs = ["scores", "embedding", "output"]
    return {"do": "infer", "model": model, "inputs": inputs, "binary": binary, "outputs": outputs, **more}


def pixels(numbers: range) -> Any:
    return np.stack([np.asarray(Image.open(io.BytesIO(picture(each))))[:, :, None] for each in numbers])


def columns() -> list[dict[str, Any]]:
    return [numbers(name, "FP32", np.array([[row[name]] for row in ROWS], np.float32)) for name in ("width", "height")]


def plain(url: str, model: str, inputs: list[Any]) -> tuple[list[str], Any]:
    """What `/v1` answers: the outputs, and the scores as float32 [N, K]."""
    answered = httpx.post(f"{url}/v1/models/{model}:predict", json={"inputs": inputs})
    assert answered.status_code == 200, answered.text
    found = answered.json()["predictions"]
    if "class" not in found[0]:
        return [str(each["value"]) for each in found], np.array([[each["value"]] for each in found], np.float32)
    return [each["class"] for each in found], np.array([list(each["scores"].values()) for each in found], np.float32)


def read(answer: dict[str, Any]) -> tuple[list[str], Any]:
    """The same of what the client was given."""
    assert "ok" in answer, answer
    document, values = answer["ok"]["document"], answer["ok"]["values"]
    shapes = {each["name"]: each["shape"] for each in document["outputs"]}
    outputs = [b64decode(each).decode() for each in values["output"]]
    assert len(document["parameters"]["prediction_ids"]) == len(outputs) == shapes["embedding"][0]
    return outputs, np.frombuffer(b64decode(values["scores"]), np.float32).reshape(shapes["scores"])


CASES: dict[str, tuple[str, Callable[[bool], list[dict[str, Any]]], list[Any]]] = {
    "pixels": (
        "digits",
        lambda _: [numbers("image", "UINT8", pixels(range(3)))],
        [{"b64": b64encode(picture(each)).decode()} for each in range(3)],
    ),
    "picture files": (
        "digits",
        lambda binary: [texts("image", [picture(at) if binary else b64encode(picture(at)) for at in range(3)])],
        [{"b64": b64encode(picture(each)).decode()} for each in range(3)],
    ),
    "sentences": ("mood", lambda _: [texts("text", [each.encode() for each in SENTENCES])], SENTENCES),
    "token ids, several inputs": (
        "mood",
        lambda _: [
            numbers("input_ids", "INT64", np.array([[4, 2, 5], [3, 3, 1], [0, 4, 3]])),
            numbers("attention_mask", "INT64", np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1]])),
        ],
        SENTENCES,
    ),
    "a row's columns": ("sizes", lambda _: columns(), ROWS),
    "columns to a number": ("price", lambda _: columns(), ROWS),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_answered_as_the_plain_address_answers(url: str, ask: Ask, name: str) -> None:
    model, inputs, given = CASES[name]
    outputs, scores = plain(url, model, given)
    for answer in ask([infer(model, *inputs(binary), binary=binary) for binary in (False, True)]):
        got, found = read(answer)
        assert found.tobytes() == scores.tobytes()
        assert (
            [float(each) for each in got] == [float(each) for each in outputs] if model == "price" else got == outputs
        )


def test_a_request_without_outputs_gets_all_in_binary(ask: Ask) -> None:
    asked = infer("sizes", *columns(), binary=True)
    (answer,) = ask([{**asked, "outputs": []}])
    outputs = answer["ok"]["document"]["outputs"]
    assert [each["name"] for each in outputs] == ["scores", "embedding", "output"]
    assert all("data" not in each and each["parameters"]["binary_data_size"] > 0 for each in outputs)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_a_compressed_request_is_answered_as_it_would_be_plain(url: str, ask: Ask, algorithm: str) -> None:
    _, scores = plain(url, "sizes", ROWS)
    asked = infer("sizes", *columns(), binary=True, request_compression_algorithm=algorithm)
    asked["response_compression_algorithm"] = algorithm  # which a server may leave
    for answer in ask([asked, {**asked, "binary": False}, {"do": "infer in threads", "all": [asked]}]):
        one = answer if isinstance(answer["ok"], dict) else {"ok": answer["ok"][0]}
        assert read(one)[1].tobytes() == scores.tobytes()


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_classes_are_given_as_triton_gives_them(url: str, ask: Ask, binary: bool) -> None:
    outputs, scores = plain(url, "sizes", ROWS)
    (answer,) = ask([infer("sizes", *columns(), binary=binary, classes={"scores": 2})])
    assert "ok" in answer, answer
    shapes = {each["name"]: (each["datatype"], each["shape"]) for each in answer["ok"]["document"]["outputs"]}
    assert shapes["scores"] == ("BYTES", [3, 2])
    found = [b64decode(each).decode().split(":", 2) for each in answer["ok"]["values"]["scores"]]
    assert [label for _, _, label in found[::2]] == outputs
    for row, (value, index, _) in zip(scores, found[::2], strict=True):
        assert np.float32(value) == row[int(index)] == row.max()


def test_a_priority_and_a_timeout_that_does_not_end_change_nothing(url: str, ask: Ask) -> None:
    _, scores = plain(url, "sizes", ROWS)
    (answer,) = ask([infer("sizes", *columns(), binary=True, priority=1, timeout=10_000_000)])
    assert read(answer)[1].tobytes() == scores.tobytes()


def test_what_the_server_says_of_itself(ask: Ask) -> None:
    simple = ["is_server_live", "is_server_ready", "get_server_metadata"]
    named = [
        ("is_model_ready", ["digits", "7"]),
        ("is_model_ready", ["digits"]),
        ("get_model_metadata", ["digits", "1"]),
    ]
    asked = [{"do": each} for each in simple] + [{"do": each, "of": of} for each, of in named]
    live, ready, server, seven, first, model = (each["ok"] for each in ask(asked))
    assert (live, ready, seven, first) == (True, True, True, True)
    assert server["name"] == "tidemill" and server["extensions"] == ["binary_tensor_data", "classification"]
    assert model["versions"] == ["1", "7"] and model["inputs"][0]["datatype"] == "UINT8"


def test_versions_and_the_requests_own_id(url: str, ask: Ask) -> None:
    tensor = numbers("image", "UINT8", pixels(range(1)))
    asked = [
        infer("digits", tensor, binary=True, model_version=number, request_id=f"mine {number}") for number in ("1", "7")
    ]
    one, seven = ask(asked)
    for number, answer in (("1", one), ("7", seven)):
        document = answer["ok"]["document"]
        assert (document["model_name"], document["model_version"], document["id"]) == (
            "digits",
            number,
            f"mine {number}",
        )
    assert read(one)[1].tobytes() != read(seven)[1].tobytes()
    assert read(one)[1].tobytes() == plain(url, "digits", [{"b64": b64encode(picture(0)).decode()}])[1].tobytes()


@pytest.mark.parametrize("way", ["infer in threads", "infer at once"])
def test_each_of_many_at_once_gets_its_own(url: str, ask: Ask, way: str) -> None:
    asked = [
        infer("digits", numbers("image", "UINT8", pixels(range(at, at + 1))), binary=at % 2 == 0, request_id=str(at))
        for at in range(40)
    ]
    (answers,) = ask([{"do": way, "all": asked}])
    assert "ok" in answers, answers
    _, scores = plain(url, "digits", [{"b64": b64encode(picture(each)).decode()} for each in range(40)])
    for at, each in enumerate(answers["ok"]):
        assert each["document"]["id"] == str(at)
        assert read({"ok": each})[1][0] == pytest.approx(
            scores[at], abs=1e-6
        )  # batches of other sizes add up otherwise


PICTURE = numbers("image", "UINT8", pixels(range(1)))
DEPTH = numbers("depth", "FP32", np.zeros((1, 1), np.float32))
FLOATS = numbers("image", "FP32", np.zeros((1, 8, 8, 1), np.float32))
NINE = numbers("image", "UINT8", np.zeros((1, 9, 8, 1), np.uint8))
NOT_FINITE = [{**each, "raw": b64encode(b"\x00\x00\xc0\x7f" * 3).decode()} for each in columns()]
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown model": (infer("digit", PICTURE, binary=True), "404", "digits"),
    "an unknown version": (infer("digits", PICTURE, binary=True, model_version="3"), "404", "digits/3"),
    "an unknown tensor": (infer("sizes", DEPTH, binary=True), "422", "depth"),
    "a tensor that is missing": (infer("sizes", columns()[0], binary=False), "422", "height"),
    "another type": (infer("digits", FLOATS, binary=True), "422", "FP32"),
    "another shape": (infer("digits", NINE, binary=False), "422", "shape"),
    "no number": (infer("sizes", *NOT_FINITE, binary=True), "422", "width"),
    "no picture": (infer("digits", texts("image", [b"GIF89a"]), binary=True), "422", "picture"),
    "a sequence": (infer("sizes", *columns(), binary=True, sequence_id=5, sequence_start=True), "400", "sequence_id"),
    "classes of a number": (infer("price", *columns(), binary=True, classes={"scores": 1}), "400", "classification"),
    "classes of an embedding": (infer("sizes", *columns(), binary=True, classes={"embedding": 1}), "400", "embedding"),
    "a timeout below none": (infer("sizes", *columns(), binary=True, timeout=-1), "400", "timeout"),
    "a configuration, which the protocol has not": ({"do": "get_model_config", "of": ["digits"]}, "404", ""),
}


def test_what_is_wrong_is_said_to_the_client(ask: Ask) -> None:
    answers = ask([each for each, _, _ in WRONG.values()])
    for (name, (_, status, word)), answer in zip(WRONG.items(), answers, strict=True):
        assert answer.get("status", "none") in status, (name, answer)
        assert word in answer["message"] and "Traceback" not in answer["message"], (name, answer)
