"""What a request of protocol v2 asks for beside its tensors is heeded, or refused in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.domain.bundle import Signature, Tensor
from tidemill.errors import InputError
from tidemill.serve.binary import from_binary
from tidemill.serve.wishes import OUTPUTS, read_wishes

from .bundles import ROW
from .conftest import App, load

LABELS = ("small", "medium", "large")
INFER = "/v2/models/sizes/infer"
ROWS = [ROW, {"width": -3.0, "height": 0.25}, {"width": 0.125, "height": 0.0}]


@pytest.fixture(scope="module")
def app(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    app = App(load(made / "tab"), tmp_path_factory.mktemp("log"))
    yield app
    app.close()


def tensors(**more: Any) -> dict[str, Any]:
    columns = {name: [row[name] for row in ROWS] for name in ROW}
    inputs = [
        {"name": name, "datatype": "FP32", "shape": [len(ROWS), 1], "data": data} for name, data in columns.items()
    ]
    return {"inputs": inputs, **more}


def test_classes_of_each_row_the_likeliest_first(app: App) -> None:
    outputs = [{"name": "scores", "parameters": {"classification": 2}}, {"name": "output"}]
    answer = app.post(INFER, json=tensors(outputs=outputs)).json()
    scores = np.array(app.post(INFER, json=tensors()).json()["outputs"][0]["data"]).reshape(3, 3)

    found, output = answer["outputs"]
    assert (found["name"], found["datatype"], found["shape"]) == ("scores", "BYTES", [3, 2])
    for row, first, second in zip(scores, found["data"][::2], found["data"][1::2], strict=True):
        best, next_best = np.argsort(-row)[:2]
        assert first == f"{row[best]}:{best}:{LABELS[best]}"
        assert second == f"{row[next_best]}:{next_best}:{LABELS[next_best]}"
    assert [each.split(":")[2] for each in found["data"][::2]] == output["data"]


def test_of_more_classes_than_there_are_all_are_given(app: App) -> None:
    outputs = [{"name": "scores", "parameters": {"classification": 1000}}]
    (found,) = app.post(INFER, json=tensors(outputs=outputs)).json()["outputs"]
    assert found["shape"] == [3, 3]
    assert sorted(each.split(":")[2] for each in found["data"][:3]) == sorted(LABELS)


def test_classes_in_binary(app: App) -> None:
    wish = {"classification": 1, "binary_data": True}
    answer = app.post(INFER, json=tensors(outputs=[{"name": "scores", "parameters": wish}]))
    end = int(answer.headers["inference-header-content-length"])
    (found,) = json.loads(answer.content[:end])["outputs"]
    values = from_binary("scores", found["datatype"], memoryview(answer.content)[end:])
    assert (found["shape"], len(values)) == ([3, 1], 3)
    assert [each.decode().count(":") for each in values] == [2, 2, 2]


def test_the_server_says_that_it_knows_classifications(app: App) -> None:
    assert app.get("/v2").json()["extensions"] == ["binary_tensor_data", "classification"]


TAKEN: dict[str, dict[str, Any]] = {
    "none": {},
    "null": {"parameters": None},
    "a priority": {"parameters": {"priority": 2}},
    "no sequence": {"parameters": {"sequence_id": 0, "sequence_start": False, "sequence_end": False}},
    "no classification": {"outputs": [{"name": "embedding", "parameters": {"classification": 0}}]},
    "the client's own": {"parameters": {"content_type": "pd", "trace": [1, 2], "headers": {}}},
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_changes_nothing_is_taken(app: App, name: str) -> None:
    answer = app.post(INFER, json=tensors(**TAKEN[name]))
    assert answer.status_code == 200, answer.text


def output(name: str = "scores", **parameters: Any) -> dict[str, Any]:
    return {"outputs": [{"name": name, "parameters": parameters}]}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a sequence": ({"parameters": {"sequence_id": 7, "sequence_start": True}}, "sequence_id"),
    "a named sequence": ({"parameters": {"sequence_id": "a"}}, "sequence_id"),
    "the end of a sequence": ({"parameters": {"sequence_end": True}}, "sequence_end"),
    "one of Triton's own": ({"parameters": {"triton_enable_empty_final_response": True}}, "triton_enable"),
    "a timeout in words": ({"parameters": {"timeout": "1s"}}, "timeout"),
    "a timeout below none": ({"parameters": {"timeout": -1}}, "timeout"),
    "a timeout that is true": ({"parameters": {"timeout": True}}, "timeout"),
    "a broken timeout": ({"parameters": {"timeout": 0.5}}, "timeout"),
    "a priority in words": ({"parameters": {"priority": "high"}}, "priority"),
    "binary in words": ({"parameters": {"binary_data_output": "yes"}}, "binary_data_output"),
    "parameters that are a list": ({"parameters": []}, "parameters"),
    "an output's parameters in words": ({"outputs": [{"name": "scores", "parameters": "x"}]}, "parameters"),
    "an output in binary as a number": (output(binary_data=1), "binary_data"),
    "an output in shared memory": (output(shared_memory_region="r", shared_memory_byte_size=8), "shared memory"),
    "classes in words": (output(classification="2"), "classification"),
    "classes below none": (output(classification=-2), "classification"),
    "classes that are true": (output(classification=True), "classification"),
    "classes of an embedding": (output("embedding", classification=1), "embedding"),
    "classes of the output": (output("output", classification=1), "output"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_another_answer_is_refused(app: App, name: str) -> None:
    more, word = REFUSED[name]
    before = app.logged().num_rows
    answer = app.post(INFER, json=tensors(**more))
    assert (answer.status_code, word in answer.json()["error"]) == (400, True), answer.text
    assert app.logged().num_rows == before


def test_a_tensor_in_shared_memory_is_refused(app: App) -> None:
    document = tensors()
    document["inputs"][0]["parameters"] = {"shared_memory_region": "r", "shared_memory_byte_size": 12}
    for _ in range(2):  # with data beside it, and without
        answer = app.post(INFER, json=document)
        assert (answer.status_code, "shared memory" in answer.text) == (400, True), answer.text
        document["inputs"][0].pop("data", None)


def test_a_number_has_no_classes(made: Path, tmp_path: Path) -> None:
    app = App(load(made / "reg"), tmp_path)
    try:
        answer = app.post("/v2/models/price/infer", json=tensors(**output(classification=1)))
        assert (answer.status_code, "a number" in answer.json()["error"]) == (400, True), answer.text
    finally:
        app.close()


_PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.integers()))
_NAMES = st.sampled_from(
    ["timeout", "priority", "sequence_id", "binary_data_output", "binary_data", "classification", "triton_x", "mine"]
)
_PARAMETERS = st.one_of(_PLAIN, st.dictionaries(_NAMES, _PLAIN, max_size=3))
_OUTPUT = st.fixed_dictionaries({"name": st.sampled_from(OUTPUTS)}, optional={"parameters": _PARAMETERS})
_LISTED = st.one_of(_PLAIN, st.lists(st.one_of(_PLAIN, _OUTPUT)))


@settings(max_examples=500, deadline=None)
@given(st.fixed_dictionaries({}, optional={"id": _PLAIN, "parameters": _PARAMETERS, "outputs": _LISTED}))
def test_any_wish_is_read_or_refused(document: dict[str, Any]) -> None:
    signature = Signature("tabular", "classification", (Tensor("x", "float32", (-1, 1)),), (), LABELS)
    try:
        asked = read_wishes(document, signature)
    except InputError as error:
        assert error.http_status in (400, 422) and error.headline
        return
    assert set(asked.outputs) <= set(OUTPUTS) and asked.outputs
    assert asked.binary | set(asked.classes) <= set(asked.outputs)
    assert asked.timeout >= 0 and all(count > 0 for count in asked.classes.values())
