"""Golden requests catch a model, a preprocessing or a record that no longer gives what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import numpy_helper

from tests.bundle.sealing import Record, edit, reseal
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.golden import replay
from tidemill.bundle.parquet import read_columns
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.read import OpenBundle, open_bundle
from tidemill.errors import BundleError, GateError

FILE = "golden.parquet"


def _replay(directory: Path) -> None:
    opened = open_bundle(directory)
    replay(opened, OnnxRuntime().load(directory, opened.bundle, threads=1))


def _scale(directory: Path, factor: float) -> None:
    """Alter one constant of the graph, the one that standardises the first column, and seal the bundle again."""
    model = onnx.load(directory / "model.onnx")
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype == np.float32 and values.size >= 3:
            changed = values.copy()
            changed.reshape(-1)[0] *= factor
            constant.CopyFrom(numpy_helper.from_array(changed, constant.name))
            break
    else:
        raise AssertionError("the example has no such constant")
    onnx.save(model, directory / "model.onnx")
    reseal(directory)


def test_a_sound_bundle_passes(example: Path) -> None:
    _replay(example)


def test_one_altered_constant_is_named_with_request_field_and_difference(example: Path) -> None:
    _scale(example, 1.2)
    with pytest.raises(
        GateError, match=r"golden request \d+ of iris: score '\w+' is .*kept .*difference .*allowed 0.001"
    ):
        _replay(example)


def test_a_refused_golden_request_is_a_gate(example: Path) -> None:
    def forget(record: Record) -> None:
        record["preprocessing"]["columns"][3]["categories"] = ["blue"]

    edit(example, forget)
    with pytest.raises(GateError, match="is refused"):
        _replay(example)


@pytest.mark.parametrize("name", ["golden.parquet", "reference.parquet"])
def test_other_columns_or_rows_are_a_bundle_error(example: Path, name: str) -> None:
    table = pq.read_table(example / name)
    for other in (
        table.drop_columns(["scores"]),
        table.slice(0, 2),
        table.set_column(0, "input", [[None] * table.num_rows]),
    ):
        pq.write_table(other, example / name)
        reseal(example)
        if name == "golden.parquet":
            with pytest.raises(BundleError):
                _replay(example)
        else:
            _replay(example)


def _with_input(directory: Path, content: bytes | None) -> None:
    """Let the first golden request be `content`."""
    table = pq.read_table(directory / FILE)
    inputs = pa.array([content, *table["input"].to_pylist()[1:]], pa.binary())
    pq.write_table(table.set_column(table.schema.get_field_index("input"), "input", inputs), directory / FILE)
    reseal(directory)


@pytest.mark.parametrize("content", [None, b'{"a":' * 100_000], ids=["null", "deep"])
def test_a_golden_request_that_is_none_is_a_bundle_error(example: Path, content: bytes | None) -> None:
    _with_input(example, content)
    with pytest.raises(BundleError, match=r"golden\.parquet"):
        _replay(example)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_kept_score_that_is_no_number_hides_nothing(example: Path, value: float) -> None:
    table = pq.read_table(example / FILE)
    scores = table["scores"].to_pylist()
    scores[1][0] = value
    changed = pa.array(scores, pa.list_(pa.float32()))
    pq.write_table(table.set_column(table.schema.get_field_index("scores"), "scores", changed), example / FILE)
    reseal(example)
    with pytest.raises(GateError, match=r"golden request 1 .*difference inf"):
        _replay(example)


def test_scores_of_another_shape_are_not_broadcast(example: Path) -> None:
    made = onnx.load(example / "model.onnx")
    for node in made.graph.node:
        node.output[:] = ["all" if name == "scores" else name for name in node.output]
        node.input[:] = ["all" if name == "scores" else name for name in node.input]
    for name, number in (("start", 0), ("end", 1), ("axis", 1)):
        made.graph.initializer.append(numpy_helper.from_array(np.array([number]), name))
    made.graph.node.append(onnx.helper.make_node("Slice", ["all", "start", "end", "axis"], ["scores"]))
    for output in made.graph.output:
        output.type.tensor_type.ClearField("shape")
    onnx.save(made, example / "model.onnx")
    reseal(example)
    edit(example, lambda record: record["golden"].update(tolerance=2.0))  # any probability is near enough
    with pytest.raises(GateError, match=r"have the shape \[\d+, 1\], kept \[\d+, 3\]"):
        _replay(example)


def test_a_file_of_columns_is_judged_before_it_is_read(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pq.read_table(example / FILE)
    wanted = {name: str(table.schema.field(name).type) for name in table.schema.names}
    assert read_columns(example / FILE, wanted).num_rows == table.num_rows
    pq.write_table(pa.table({"a": pa.nulls(1_000_001, pa.int8())}), example / "long.parquet")
    pq.write_table(table.append_column("more", table["output"]), example / "wide.parquet")
    monkeypatch.setattr(pq.ParquetFile, "read", lambda _: pytest.fail("it was read"))
    with pytest.raises(BundleError, match="has 1,000,001 rows"):
        read_columns(example / "long.parquet", {"a": "int8"})
    with pytest.raises(BundleError, match="a column 'more' that does not belong"):
        read_columns(example / "wide.parquet", wanted)
    with pytest.raises(BundleError, match="lacks the column a"):
        read_columns(example / FILE, {"a": "int8"})


def test_a_graph_that_changed_after_the_audit_is_not_loaded(example: Path) -> None:
    opened = open_bundle(example)
    content = (example / "model.onnx").read_bytes()
    (example / "model.onnx").write_bytes(content[:-1] + b"\x01")
    with pytest.raises(BundleError, match="altered after it was opened"):
        OnnxRuntime().load(example, opened.bundle, threads=1)


def test_an_answer_that_is_no_number_is_refused(example: Path) -> None:
    _scale(example, float("nan"))
    opened: OpenBundle = open_bundle(example)
    predictor = Predictor(opened, OnnxRuntime().load(example, opened.bundle, threads=1))
    with pytest.raises(GateError, match="no number for input 0"):
        predictor.predict([{"sepal length": 5.0, "petal length": 1.4, "petal width mm": 2, "colour": "blue"}])
    with pytest.raises(GateError):
        _replay(example)
