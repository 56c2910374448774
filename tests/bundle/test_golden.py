"""Golden requests catch a model, a preprocessing or a record that no longer gives what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from onnx import numpy_helper

from tests.bundle.sealing import Record, edit, reseal
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.golden import replay
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.read import OpenBundle, open_bundle
from tidemill.errors import BundleError, GateError


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
