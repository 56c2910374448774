"""A network that learned something keeps its decisions in 8 bits, within the limits as they are by default."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits

from tests.bundle.sources import LINEAGE
from tidemill.backends.exporters.onnx import OnnxExporter
from tidemill.backends.exporters.precisions.dynamic import to_integers_dynamic
from tidemill.backends.exporters.precisions.equal import equalise
from tidemill.backends.exporters.precisions.prepared import prepared
from tidemill.backends.exporters.precisions.ranges import flows, quiet_session
from tidemill.backends.exporters.precisions.static import Calibration, _nearest, to_integers_static
from tidemill.backends.families.models.convolution import ConvNorm
from tidemill.backends.families.models.small_cnn import SmallCnnNetwork
from tidemill.backends.families.networks.graphs import PictureGraph
from tidemill.backends.families.networks.source import NetworkModel
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.consistency import signature_of
from tidemill.bundle.preprocess import Preprocessor
from tidemill.config.architectures import ARCHITECTURES
from tidemill.config.schema import ExportConfig
from tidemill.dataset.read import Examples
from tidemill.domain.bundle import ImagePreprocessing, Parity, Precision
from tidemill.stages.export import export

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from tidemill.ports import Feed

_TEST = 360
_SPREAD = 2  # powers of ten between the channels


@pytest.fixture(scope="module")
def digits() -> tuple[NetworkModel, Examples, Calibration]:
    """A network that learned digits for some steps, and channels that differ by up to 100 times in its first layers."""
    pictures, labels = load_digits(return_X_y=True)
    pixels = np.asarray(pictures.reshape(-1, 8, 8, 1) * 15.9, np.uint8)
    torch.manual_seed(0)
    params = ARCHITECTURES["small_cnn"].params(channels=8)
    network = SmallCnnNetwork(params, channels=1, height=8, width=8, classes=10)
    graph = PictureGraph(network, [0.3], [0.37])
    _learn(network, (torch.from_numpy(pixels[_TEST:]).permute(0, 3, 1, 2) / 255 - 0.3) / 0.37, labels[_TEST:])
    _spread_channels(network)
    prepared, names = ImagePreprocessing("L", 8, 8), tuple("0123456789")
    model = NetworkModel(signature_of("image", prepared, names, network.head.in_features), prepared, graph, {})
    test = Examples(
        tuple(f"test/{i}" for i in range(_TEST)), [_png(each) for each in pixels[:_TEST]],
        tuple(str(each) for each in labels[:_TEST]), None,
    )  # fmt: skip
    feeds = [{"image": pixels[start : start + 64]} for start in range(_TEST, _TEST + 512, 64)]
    return model, test, Calibration(feeds[:4], lambda: feeds[4:])


def _learn(network: SmallCnnNetwork, pixels: torch.Tensor, labels: np.ndarray) -> None:
    truth = torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(12):
        for rows in torch.split(torch.randperm(len(truth)), 64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(pixels[rows])[0], truth[rows]).backward()  # type: ignore[no-untyped-call]  # torch's own
            optimizer.step()
    network.eval()


def _spread_channels(network: SmallCnnNetwork) -> None:
    """Multiply what the channels give, and divide what the next layer makes of it: the answers stay as they are."""
    first, second = network.features[0], network.features[1]
    assert isinstance(first, ConvNorm) and isinstance(second, ConvNorm)
    factor = torch.logspace(0, _SPREAD, first.norm.num_features)
    with torch.no_grad():
        first.norm.weight.mul_(factor)
        first.norm.bias.mul_(factor)
        second.convolution.weight.div_(factor[:, None, None])


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0]).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("precision", ["int8_dynamic", "int8_static"])
def test_a_network_that_learned_passes_its_gate(
    digits: tuple[NetworkModel, Examples, Calibration], tmp_path: Path, precision: Precision
) -> None:
    """With the widest ranges of the channels as they are, int8_static changes 9 % of these decisions."""
    model, examples, calibration = digits
    truth = model.score(Preprocessor(model.preprocessing).prepare(examples.inputs)).scores
    assert (truth.argmax(axis=1) == [int(label) for label in examples.labels]).mean() > 0.9
    parity: Parity = export(
        model, examples, name="digits", config=ExportConfig(precision=precision), lineage=LINEAGE, metrics={},
        per_class={}, exporter=OnnxExporter(precision, lambda: calibration), runtime=OnnxRuntime(),
        bundles=tmp_path / "bundles", staging=tmp_path / "staging", threads=1,
    ).bundle.parity  # fmt: skip
    assert parity.held and parity.rows == _TEST
    assert parity.bytes < parity.source_bytes


def test_equal_channels_answer_the_same(digits: tuple[NetworkModel, Examples, Calibration], tmp_path: Path) -> None:
    model, examples, _ = digits
    OnnxExporter().export(model, tmp_path / "whole.onnx")
    feed = Preprocessor(model.preprocessing).prepare(examples.inputs)
    with prepared(onnx.load(tmp_path / "whole.onnx"), "int8_static") as folded:
        balanced = onnx.load(folded)
        before = _ratios(balanced)
        assert equalise(balanced)
        assert max(_ratios(balanced)) < 0.5 * max(before)
        truth = quiet_session(folded).run(["scores"], dict(feed))[0]
        onnx.save(balanced, tmp_path / "balanced.onnx")
    assert np.abs(quiet_session(tmp_path / "balanced.onnx").run(["scores"], dict(feed))[0] - truth).max() < 1e-4


def _ratios(model: ModelProto) -> list[float]:
    """Of each convolution: the largest weight of a channel that goes in to that of the channel with the smallest."""
    convolutions = [each for each in model.graph.initializer if len(each.dims) == 4 and each.dims[1] > 1]
    largest = [np.abs(numpy_helper.to_array(each)).max(axis=(0, 2, 3)) for each in convolutions]
    return [float(each.max() / each.min()) for each in largest]


@pytest.mark.parametrize("shared", ["weights", "output"])
def test_channels_that_something_else_sees_stay_as_they_are(shared: str) -> None:
    rng = np.random.default_rng(0)
    scale = np.logspace(0, 2, 4, dtype=np.float32)[:, None, None, None]
    weights = [(rng.normal(size=(4, 4, 1, 1)) * scale).astype(np.float32) for _ in range(2)]
    names = ["a", "a"] if shared == "weights" else ["a", "b"]
    nodes = [
        helper.make_node("Conv", ["in", names[0]], ["wide"]),
        helper.make_node("Relu", ["wide"], ["kept"]),
        helper.make_node("Conv", ["kept", names[1]], ["out"]),
    ]
    constants = [numpy_helper.from_array(weights[i], name) for i, name in enumerate(dict.fromkeys(names))]
    seen = ["out", "kept"] if shared == "output" else ["out"]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4, 1, 1]) for name in seen]
    inputs = [helper.make_tensor_value_info("in", TensorProto.FLOAT, ["n", 4, 1, 1])]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, constants))
    assert not equalise(model)
    assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), weights[0])


def _scaled(name: str) -> ModelProto:
    """`scores` are `rows`, multiplied by the unit matrix."""
    node = helper.make_node("MatMul", ["rows", "unit"], ["scores"])
    given, made = (helper.make_tensor_value_info(each, TensorProto.FLOAT, ["n", 8]) for each in ("rows", "scores"))
    unit = numpy_helper.from_array(np.eye(8, dtype=np.float32), "unit")
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(
        helper.make_graph([node], name, [given], [made], [unit]), opset_imports=opsets, ir_version=10
    )


def _batch(rows: NDArray[np.float32]) -> list[Feed]:
    return [{"rows": rows}]


def test_an_outlier_is_clipped_where_rows_that_were_not_measured_have_none(tmp_path: Path) -> None:
    """And kept where they have: clipped it would be another answer."""
    wide, plain = np.random.default_rng(0).normal(size=(2, 1 << 18, 8)).astype(np.float32)
    wide[0, 0] = 40.0
    measured: list[Feed] = [{"rows": part} for part in np.split(wide, 32)]
    assert flows(_scaled("g"), ["MatMul"], measured)["rows"].closest()[1] < 20.0
    covered = {}
    for name, held_back in {"without": plain[:256], "with": wide[:1]}.items():
        path = tmp_path / f"{name}.onnx"
        to_integers_static(_scaled("g"), path, Calibration(measured, partial(_batch, held_back)))
        answer = quiet_session(path).run(["scores"], {"rows": wide[:1]})[0]
        covered[name] = float(answer[0, 0])
    assert covered["without"] < 20.0 and covered["with"] > 39.0


def test_the_rows_of_one_batch_or_of_many_give_the_same_ranges() -> None:
    rows: Feed = {"rows": np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)}
    whole = flows(_scaled("g"), ["MatMul"], [rows])["rows"]
    parts = flows(_scaled("g"), ["MatMul"], [{"rows": rows["rows"][at : at + 1]} for at in range(64)])["rows"]
    assert (whole.low, whole.high) == (parts.low, parts.high) == (rows["rows"].min(), rows["rows"].max())
    assert np.array_equal(whole.counts, parts.counts) and whole.counts.sum() == 64 * 8


def test_values_that_are_not_finite_are_left_out_of_the_ranges() -> None:
    """Numpy would warn, which is an error here."""
    rows = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    rows[1, 0], rows[1, 1] = np.finfo(np.float32).max, np.finfo(np.float32).min
    known = flows(_scaled("g"), ["MatMul"], [{"rows": rows}])["rows"]
    holed = np.concatenate([[[np.nan] * 8, [np.inf] * 8], rows, [[-np.inf] * 8]]).astype(np.float32)
    for feeds in ([{"rows": holed}], [{"rows": holed[at : at + 1]} for at in range(len(holed))]):
        found = flows(_scaled("g"), ["MatMul"], feeds)["rows"]
        assert found.widest() == known.widest() and found.closest() == known.closest()
        assert np.array_equal(np.flatnonzero(found.counts), np.flatnonzero(known.counts))
    nothing = flows(_scaled("g"), ["MatMul"], [{"rows": holed[:2]}])["rows"]
    assert (nothing.widest(), nothing.closest(), nothing.noise()) == ((0.0, 0.0), (0.0, 0.0), 0.0)


def test_a_graph_without_a_number_is_never_the_nearest(tmp_path: Path) -> None:
    paths = {}
    for name, factor in {"none": np.nan, "far": 3.0, "near": 1.1, "whole": 1.0}.items():
        model = _scaled(name)
        unit = np.eye(8, dtype=np.float32) * np.float32(factor)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(unit, "unit"))
        paths[name] = tmp_path / f"{name}.onnx"
        onnx.save(model, paths[name])
    rows = np.ones((4, 8), np.float32)
    holed = np.concatenate([rows, [[np.nan] * 8]]).astype(np.float32)  # there the graph itself has none
    for feed in (rows, holed):
        tried = [paths["none"], paths["far"], paths["near"]]
        assert _nearest(paths["whole"], tried, [{"rows": feed}]) == paths["near"]


@pytest.mark.parametrize(("outlier", "operators"), [(1.0, {"MatMulInteger"}), (2e3, {"MatMul"})])
def test_a_matrix_whose_input_has_outliers_is_multiplied_in_32_bits(
    tmp_path: Path, outlier: float, operators: set[str]
) -> None:
    rows = np.random.default_rng(0).normal(size=(4096, 8)).astype(np.float32)
    rows[0, 0] *= outlier
    to_integers_dynamic(_scaled("g"), tmp_path / "g.onnx", [{"rows": rows}])
    written = onnx.load(tmp_path / "g.onnx")
    assert {node.op_type for node in written.graph.node if "MatMul" in node.op_type} == operators
    assert TensorProto.INT8 in {each.data_type for each in written.graph.initializer if len(each.dims) == 2}
    answers = quiet_session(tmp_path / "g.onnx").run(["scores"], {"rows": rows})[0]
    assert np.abs(answers[1:] - rows[1:]).max() < 0.05
