"""Exporting: every framework gives the same answers as an ONNX graph, and what does not never becomes a bundle."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.bundle.sealing import reseal
from tests.bundle.sources import LINEAGE, picture_model, sentence_model, table_model
from tidemill.backends.exporters.onnx import OnnxExporter
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.golden import read_golden, replay
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.read import OpenBundle, open_bundle
from tidemill.bundle.reference import read_reference
from tidemill.config.schema import ExportConfig
from tidemill.dataset.read import Examples
from tidemill.errors import DataError, GateError
from tidemill.ports import Scored, SourceModel
from tidemill.stages.export import export, spread


def _export(tmp_path: Path, model: SourceModel, examples: Examples, **changes: Any) -> OpenBundle:
    settings: dict[str, Any] = {
        "name": "rows", "config": ExportConfig(golden_rows=8), "lineage": LINEAGE, "metrics": {"accuracy": 0.5},
        "per_class": {}, "exporter": OnnxExporter(), "runtime": OnnxRuntime(), "bundles": tmp_path / "bundles",
        "staging": tmp_path / "staging", "threads": 1,
    }  # fmt: skip
    return export(model, examples, **{**settings, **changes})


def _check(opened: OpenBundle, model: SourceModel, examples: Examples) -> None:
    """What is at the place named by the digest answers as the source does, alone and in batches."""
    again = open_bundle(opened.directory, expected=opened.digest)
    assert opened.directory.name == opened.digest.hex
    assert again.bundle.parity.changed == 0 and again.bundle.parity.rows == len(examples.names)
    predictor = Predictor(again, OnnxRuntime().load(again.directory, again.bundle, threads=1))
    inputs = examples.inputs[:7]
    truth = model.score(predictor.preprocessor.prepare(inputs))
    given = predictor.score(inputs)
    scale = max(1.0, float(np.abs(truth.scores).max()))
    np.testing.assert_allclose(given.scores, truth.scores, atol=2e-6 * scale)
    np.testing.assert_allclose(given.embedding, truth.embedding, atol=1e-4)
    np.testing.assert_allclose(predictor.score(inputs[:1]).scores, given.scores[:1], atol=2e-6 * scale)


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize(
    ("kind", "classes"),
    [("linear", 0), ("linear", 2), ("linear", 4), ("lasso", 0), ("xgboost", 0), ("xgboost", 2), ("xgboost", 4)],
)
def test_tables(tmp_path: Path, kind: str, classes: int, nullable: bool) -> None:
    model, examples = table_model(kind, classes=classes, nullable=nullable)
    _check(_export(tmp_path, model, examples), model, examples)


@pytest.mark.parametrize("shape", [(8, 8, 1), (20, 33, 3)])
def test_pictures(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    model, examples = picture_model(*shape)
    _check(_export(tmp_path, model, examples), model, examples)


def test_sentences(tmp_path: Path) -> None:
    model, examples = sentence_model()
    opened = _export(tmp_path, model, examples)
    _check(opened, model, examples)
    assert (opened.directory / "tokenizer.json").read_bytes() == model.tokenizer


def test_a_graph_is_the_same_file_each_time(tmp_path: Path) -> None:
    model, _ = picture_model(8, 8, 1)
    for name in ("one", "two"):
        OnnxExporter().export(model, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


class _Altering(OnnxExporter):
    """Exports, and multiplies the largest constant: as a quantisation does that loses too much."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def export(self, model: SourceModel, path: Path) -> None:
        super().export(model, path)
        graph = onnx.load(path)
        for node in graph.graph.node:
            for attribute in node.attribute:
                if attribute.name == "coefficients":
                    values = [value * self.factor for value in attribute.floats]
                    del attribute.floats[:]
                    attribute.floats.extend(values)
        onnx.save(graph, path)


def test_an_export_that_changes_decisions_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    model, examples = table_model("linear", classes=2, nullable=False)
    with pytest.raises(
        GateError, match=r"of 400 test rows change \(\d+\.\d\d%, allowed 0.10%\).*worst: test/\d+"
    ) as refused:
        _export(tmp_path, model, examples, exporter=_Altering(-1.0))
    assert "export.max_changed" in refused.value.remedy
    assert not (tmp_path / "bundles").exists() and not os.listdir(tmp_path / "staging")


def test_decisions_may_stand_and_scores_be_too_far_for_any_golden_request(tmp_path: Path) -> None:
    model, examples = table_model("linear", classes=2, nullable=False)
    with pytest.raises(GateError, match="no test row is answered within"):
        _export(tmp_path, model, examples, exporter=_Altering(1.02), config=ExportConfig(tolerance=1e-9))


def test_a_regression_is_held_to_its_own_scale(tmp_path: Path) -> None:
    model, examples = table_model("linear", classes=0, nullable=False)
    parity = _export(tmp_path, model, examples).bundle.parity
    assert parity.tolerance == pytest.approx(1e-3 * float(np.std(np.asarray(examples.values))), rel=0.05)
    with pytest.raises(GateError, match="test rows change"):
        _export(tmp_path, model, examples, exporter=_Altering(1.01))


def test_golden_requests_are_spread_and_the_reference_is_a_sample(tmp_path: Path) -> None:
    model, examples = table_model("xgboost", classes=2, nullable=True)
    opened = _export(tmp_path, model, examples, config=ExportConfig(golden_rows=10, reference_rows=50))
    rows = read_golden(opened)
    labels = dict(zip([str(row) for row in examples.inputs], examples.labels, strict=True))
    assert [labels[str(row.input)] for row in rows].count("a") == 5 and len(rows) == 10
    table = read_reference(opened)
    assert table.num_rows == 50
    assert set(table["label"].to_pylist()) == {"a", "b"}


def test_spread_takes_the_least_sure_of_each_class_in_turn_and_values_evenly() -> None:
    names = tuple(map(str, range(9)))
    sure = np.array([0.9, 0.5, 0.8, 0.6, 0.7, 0.9, 0.9, 0.9, 0.9], np.float32)
    scores = np.stack([sure, 1 - sure, np.zeros(9, np.float32)], axis=1)
    labelled = Examples(names, list(names), ("a",) * 6 + ("b",) * 2 + ("c",), None)
    assert spread(range(9), labelled, scores, 5) == [1, 3, 6, 7, 8]
    assert spread([0, 1, 2], labelled, scores, 5) == [0, 1, 2]
    valued = Examples(names, list(names), (), np.arange(9.0))
    assert spread(range(9), valued, np.arange(9, dtype=np.float32).reshape(-1, 1), 3) == [0, 4, 8]


def test_a_constant_that_is_off_by_two_thousandths_is_caught(tmp_path: Path) -> None:
    """With the settings that everybody has: each constant of the graph in turn."""
    model, examples = table_model("linear", classes=2, nullable=False)
    directory = Path(shutil.copytree(_export(tmp_path, model, examples).directory, tmp_path / "altered"))
    graph = onnx.load(directory / "model.onnx")
    altered = 0
    for constant in graph.graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype != np.float32 or not np.abs(values).max(initial=0.0):
            continue
        place = int(np.abs(values).argmax())
        changed = values.copy()
        changed.reshape(-1)[place] *= 1.002
        constant.CopyFrom(numpy_helper.from_array(changed, constant.name))
        (directory / "model.onnx").write_bytes(graph.SerializeToString())
        reseal(directory)
        again = open_bundle(directory)
        with pytest.raises(GateError, match="golden request"):
            replay(again, OnnxRuntime().load(again.directory, again.bundle, threads=1))
        constant.CopyFrom(numpy_helper.from_array(values, constant.name))
        altered += 1
    assert altered >= 2


def test_report_files_come_along_under_names_a_bundle_allows(tmp_path: Path) -> None:
    model, examples = table_model("linear", classes=2, nullable=False)
    report = tmp_path / "evaluation"
    (report / "inner").mkdir(parents=True)
    (report / "inner" / "größe 1.png").write_bytes(b"png")
    (report / ".hidden").write_bytes(b"x")
    opened = _export(tmp_path, model, examples, report=report)
    assert {name for name in opened.bundle.files if name.startswith("report/")} == {
        "report/hidden", "report/inner_gr__e_1.png", "report/parity.html"
    }  # fmt: skip


def test_the_card_is_text_whatever_names_hold(tmp_path: Path) -> None:
    model, examples = table_model("linear", classes=2, nullable=False)
    per_class = {"<script>|a|": {"recall": 1.0}}
    card = (_export(tmp_path, model, examples, per_class=per_class).directory / "card.md").read_text()
    assert r"\<script\>\|a\|" in card


def test_no_rows_and_no_framework(tmp_path: Path) -> None:
    model, examples = table_model("linear", classes=2, nullable=False)
    with pytest.raises(DataError, match="no rows"):
        _export(tmp_path, model, Examples((), [], (), None))

    @dataclasses.dataclass
    class Oracle:
        signature: Any
        preprocessing: Any
        params: int = 0

        def score(self, feed: Any) -> Scored:
            raise AssertionError(feed)

        def save(self, directory: Path) -> None:
            raise AssertionError(directory)

    with pytest.raises(GateError, match="Oracle cannot be exported"):
        _export(tmp_path, Oracle(model.signature, model.preprocessing), examples)


def test_constants_of_a_graph_are_plain(tmp_path: Path) -> None:
    model, _ = table_model("xgboost", classes=4, nullable=True)
    OnnxExporter().export(model, tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(graph, full_check=True)
    assert all(np.isfinite(numpy_helper.to_array(each)).all() for each in graph.graph.initializer
               if each.data_type == onnx.TensorProto.FLOAT)  # fmt: skip
