"""A graph in fewer bits is smaller, is a bundle that any reader opens and proves, and is honest about what it lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import onnx
import pytest

from tests.bundle.sources import LINEAGE, picture_model, sentence_model, table_model
from tidemill.backends.exporters.onnx import OnnxExporter
from tidemill.backends.exporters.precisions.halves import to_halves
from tidemill.backends.exporters.precisions.static import Calibration
from tidemill.backends.families.networks.source import NetworkModel
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.golden import read_golden, replay
from tidemill.bundle.preprocess import Preprocessor
from tidemill.bundle.read import GRAPH, OpenBundle, open_bundle
from tidemill.config.schema import ExportConfig
from tidemill.dataset.read import Examples
from tidemill.domain.bundle import Precision
from tidemill.domain.digest import Digest
from tidemill.errors import GateError
from tidemill.stages.export import export

if TYPE_CHECKING:
    from tidemill.ports import Feed

FEWER: tuple[Precision, ...] = ("float16", "int8_dynamic", "int8_static")


def _feeds(model: NetworkModel, examples: Examples, folder: Path) -> list[Feed]:
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_bytes(model.tokenizer or b"")
    prepared = Preprocessor(model.preprocessing, tokenizer if model.tokenizer else None).prepare(examples.inputs)
    return [prepared]


def _export(folder: Path, model: NetworkModel, examples: Examples, precision: Precision) -> OpenBundle:
    settings = ExportConfig(precision=precision, golden_rows=8)
    for name in FEWER:  # the weights are random, so decisions are close
        limits = settings.limits(name)
        limits.max_changed = limits.max_loss = limits.max_class_loss = 1.0
    return export(
        model, examples, name="rows", config=settings, lineage=LINEAGE, metrics={"accuracy": 0.0}, per_class={},
        exporter=OnnxExporter(precision, lambda: Calibration(_feeds(model, examples, folder))),
        runtime=OnnxRuntime(), bundles=folder / "bundles", staging=folder / "staging", threads=1,
    )  # fmt: skip


@pytest.mark.parametrize("make", [lambda: picture_model(20, 33, 3), sentence_model])
def test_each_precision_is_a_bundle_that_opens_and_replays(
    tmp_path: Path, make: Callable[[], tuple[NetworkModel, Examples]]
) -> None:
    model, examples = make()
    bundles = {precision: _export(tmp_path, model, examples, precision) for precision in get_args(Precision)}
    whole = bundles["float32"].bundle.parity
    truth = np.stack([row.scores for row in read_golden(bundles["float32"])])
    for precision in FEWER:
        opened = open_bundle(bundles[precision].directory, expected=bundles[precision].digest)
        parity = opened.bundle.parity
        replay(opened, OnnxRuntime().load(opened.directory, opened.bundle, threads=1))
        assert parity.precision == precision and parity.held
        assert parity.bytes == (opened.directory / GRAPH).stat().st_size < 0.75 * whole.bytes
        assert whole.largest_difference < parity.largest_difference <= 0.2
        assert parity.source_bytes > whole.bytes / 2
        assert all((parity.latency_ms, parity.batch_latency_ms, parity.source_latency.batch_ms))
        most = 3 * parity.largest_difference  # twice, and int8's ranges of a batch depend on what else is in it
        assert 1e-4 <= opened.bundle.golden.tolerance <= max(1e-4, most)
        kept = {tuple(row.scores) for row in read_golden(opened)}
        assert len(truth) == 8 and kept <= {tuple(row) for row in _source(model, examples, tmp_path)}
    assert {node.domain for node in onnx.load(opened.directory / GRAPH).graph.node} == {""}


def _source(model: NetworkModel, examples: Examples, folder: Path) -> np.ndarray:
    return model.score(_feeds(model, examples, folder)[0]).scores


def test_the_figures_of_a_graph_in_fewer_bits_are_its_own(tmp_path: Path) -> None:
    model, examples = picture_model(8, 8, 1)
    opened = _export(tmp_path, model, examples, "int8_static")
    assert opened.bundle.metrics["accuracy"] > 0.0 and "macro_f1" in opened.bundle.metrics
    assert _export(tmp_path, model, examples, "float32").bundle.metrics == {"accuracy": 0.0}


@pytest.mark.parametrize("precision", FEWER)
@pytest.mark.parametrize(("kind", "named"), [("xgboost", "TreeEnsembleClassifier"), ("linear", "LinearClassifier")])
def test_what_has_no_weights_to_make_smaller_is_named(
    tmp_path: Path, kind: str, named: str, precision: Precision
) -> None:
    model, _ = table_model(kind, classes=2, nullable=False)
    with pytest.raises(GateError, match=f"no {precision} form: {named}") as refused:
        OnnxExporter(precision).export(model, tmp_path / GRAPH)
    assert refused.value.remedy == "export it with precision float32"


def test_a_weight_that_16_bits_cannot_hold_is_named(tmp_path: Path) -> None:
    model, _ = picture_model(8, 8, 1)
    OnnxExporter().export(model, tmp_path / GRAPH)
    graph = onnx.load(tmp_path / GRAPH)
    weight = next(each for each in graph.graph.initializer if len(each.dims) == 4)
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[0] = 1e6
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    with pytest.raises(GateError, match=f"{weight.name!r} holds 1e\\+06, more than float16 can"):
        to_halves(graph)


def test_static_ranges_need_rows(tmp_path: Path) -> None:
    model, _ = picture_model(8, 8, 1)
    with pytest.raises(GateError, match="needs rows to calibrate with"):
        OnnxExporter("int8_static").export(model, tmp_path / GRAPH)


def test_an_altered_weight_shows_in_the_golden_requests_of_an_int8_graph(tmp_path: Path) -> None:
    """The tolerance is what the graph needs, not the most it may have."""
    model, examples = picture_model(8, 8, 1)
    model.module.load_state_dict(
        {name: each * 300 if "head.weight" in name else each for name, each in model.module.state_dict().items()}
    )  # with random weights alone every picture is answered alike
    opened = _export(tmp_path, model, examples, "int8_static")
    graph = onnx.load(opened.directory / GRAPH)
    for each in graph.graph.initializer:
        if each.data_type == onnx.TensorProto.FLOAT and tuple(each.dims) == (1, 1, 1, 1):  # mean or std
            each.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(each) * 3, each.name))
    onnx.save(graph, opened.directory / GRAPH)
    record = replace(opened.bundle.files[GRAPH], digest=Digest.of_file(opened.directory / GRAPH))
    bundle = replace(opened.bundle, files={**opened.bundle.files, GRAPH: record})
    altered = replace(opened, bundle=bundle)
    with pytest.raises(GateError, match="golden request"):
        replay(altered, OnnxRuntime().load(opened.directory, bundle, threads=1))
