"""Only what the graph says of the client's own tensors is the client's error; the rest is the server's, and said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from prometheus_client.parser import text_string_to_metric_families

from tidemill.backends.runtimes.onnx import OnnxSession
from tidemill.bundle.predictor import Predictor
from tidemill.errors import FeedError, TidemillError
from tidemill.serve import failure

from .conftest import App, Start, load

if TYPE_CHECKING:
    from tidemill.ports import Feed, Scored

INFER = "/v2/models/mood/infer"


class Broken:
    """A session that fails as it is told to."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def run(self, feed: Feed) -> Scored:
        raise self.error


@pytest.fixture
def broken(made: Path, tmp_path: Path) -> Iterator[Callable[[Exception], App]]:
    apps: list[App] = []

    def make(error: Exception) -> App:
        model = load(made / "txt")
        predictor = Predictor(model.predictor.opened, Broken(error))
        apps.append(App(replace(model, predictor=predictor), tmp_path / "log"))
        return apps[-1]

    yield make
    for app in apps:
        app.close()


def tokens(ids: list[list[int]], mask: list[list[int]]) -> dict[str, object]:
    named = {"input_ids": ids, "attention_mask": mask}
    return {
        "inputs": [
            {"name": name, "datatype": "INT64", "shape": [len(rows), len(rows[0])], "data": rows}
            for name, rows in named.items()
        ]
    }


def reasons(app: App) -> dict[str, float]:
    families = text_string_to_metric_families(app.get("/metrics").text)
    samples = [each for family in families for each in family.samples]
    name = "tidemill_request_failures_total"
    return {each.labels["reason"]: each.value for each in samples if each.name == name and each.value}


SERVERS: dict[str, Exception] = {
    "no memory": MemoryError("no room"),
    "a bug": KeyError("a bug of a test"),
    "the runtime": TidemillError("the runtime of a test failed", "export the model again"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_what_the_client_cannot_help_is_the_servers_and_is_said_once(
    broken: Callable[[Exception], App], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    error = SERVERS[name]
    failure._told.clear()
    app = broken(error)
    answer = app.post(INFER, json=tokens([[2]], [[1]]))

    assert answer.status_code == 500, answer.text
    assert "tensors" not in answer.text
    assert reasons(app) == {"model": 1}
    said = capsys.readouterr().err
    assert said.count(str(error.args[0]).splitlines()[0]) == 1, said
    assert ("Traceback" in said) == (not isinstance(error, TidemillError))


def test_tensors_that_the_graph_does_not_take_are_the_clients_and_nothing_is_said(
    made: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    app = start(made / "txt")
    answer = app.post(INFER, json=tokens([[99]], [[1]]))  # there are six words

    assert (answer.status_code, "does not take these tensors" in answer.text) == (422, True), answer.text
    assert reasons(app) == {"input": 1}
    assert capsys.readouterr().err == ""


def test_tensors_that_were_made_here_are_not_the_clients(broken: Callable[[Exception], App]) -> None:
    app = broken(FeedError("the model failed on this batch", "export it again"))
    answer = app.post("/v1/models/mood:predict", content=json.dumps({"inputs": ["the good tide"]}))

    assert answer.status_code == 500, answer.text
    assert reasons(app) == {"model": 1}


TABLE = np.ones((6, 2), np.float32)
MISFITS: dict[str, tuple[str, np.ndarray, type[TidemillError]]] = {
    "an index beyond the table": ("Gather", np.array([[9]]), FeedError),
    "an index of an element beyond it": ("GatherElements", np.array([[9]]), FeedError),
    "rows that are not as many": ("Add", np.ones((3, 2), np.float32), FeedError),
    "a matrix of another width": ("MatMul", np.ones((3, 5), np.float32), FeedError),
    "another type": ("Add", np.ones((6, 2)), FeedError),
    "more than there is memory": ("Expand", np.array([1 << 40, 1, 1]), TidemillError),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_the_runtime_says_of_tensors_is_told_from_what_it_lacks(name: str) -> None:
    operator, given, kind = MISFITS[name]
    inputs = ["given", "table"] if operator in ("Add", "MatMul") else ["table", "given"]
    wanted = TensorProto.INT64 if given.dtype == np.int64 else TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, ["scores"]), helper.make_node("Identity", ["scores"], ["embedding"])],
        "tiny",
        [helper.make_tensor_value_info("given", wanted, [None] * given.ndim)],
        [helper.make_tensor_value_info(each, TensorProto.FLOAT, None) for each in ("scores", "embedding")],
        [numpy_helper.from_array(TABLE, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    loaded = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    with pytest.raises(TidemillError) as failed:
        OnnxSession(loaded).run({"given": given})
    assert type(failed.value) is kind, failed.value
