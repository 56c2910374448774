"""Real, tiny bundles for each task: linear graphs with known answers, made by hand with ONNX's own library."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.consistency import signature_of
from tidemill.bundle.examples import write_examples
from tidemill.bundle.golden import write_golden
from tidemill.bundle.preprocess import Preprocessor
from tidemill.bundle.read import open_bundle
from tidemill.bundle.reference import write_reference
from tidemill.bundle.write import record_files, write_bundle
from tidemill.domain.bundle import (
    Bundle,
    Golden,
    ImagePreprocessing,
    Lineage,
    Parity,
    Preprocessing,
    TableColumn,
    TabularPreprocessing,
    TextPreprocessing,
)
from tidemill.domain.deployment import Deployment
from tidemill.domain.digest import Digest
from tidemill.domain.record import now, to_plain
from tidemill.files import write_atomic

if TYPE_CHECKING:
    from tidemill.ports import Raw

SIDE = 8
DIGITS = tuple("0123456789")
ROW = {"width": 1.5, "height": 2.0}
_ZERO = Digest("sha256:" + "0" * 64)
_LINEAGE = Lineage("run", _ZERO, _ZERO, _ZERO, "0" * 40, _ZERO, "data-v1.0.0", _ZERO, 1)
_WORDS = {"[UNK]": 0, "[PAD]": 1, "good": 2, "bad": 3, "the": 4, "tide": 5}


def picture(number: int, size: int = SIDE) -> bytes:
    """A grey PNG whose content follows from `number`."""
    pixels = np.random.default_rng(number).integers(0, 256, (size, size), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def image_bundle(directory: Path, *, seed: int = 0, name: str = "digits", labels: tuple[str, ...] = DIGITS) -> Path:
    """Eight by eight grey pixels to ten classes; another seed gives other weights."""
    weights = np.random.default_rng(seed).normal(0, 3, (SIDE * SIDE, len(labels))).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "full"], ["unit"]),
        helper.make_node("Reshape", ["unit", "flat"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        helper.make_node("Identity", ["logits"], ["embedding"]),
    ]
    constants = {"full": np.float32(255), "flat": np.array([0, SIDE * SIDE], np.int64), "weights": weights}
    inputs = [("image", TensorProto.UINT8, ["N", SIDE, SIDE, 1])]
    _write_graph(directory, nodes, inputs, constants, (len(labels), len(labels)))
    return _finish(
        directory, name, ImagePreprocessing("L", SIDE, SIDE), labels, [picture(i) for i in range(8)], len(labels)
    )


def tabular_bundle(directory: Path, *, regression: bool = False, name: str = "sizes") -> Path:
    """Two numbers to small, medium or large; or to width + 2 height."""
    weights = np.array([[1], [2]], np.float32) if regression else np.array([[-1, 0, 1], [-1, 0.5, 1]], np.float32)
    last = "Identity" if regression else "Softmax"
    nodes = [
        helper.make_node("Concat", list(ROW), ["row"], axis=1),
        helper.make_node("MatMul", ["row", "weights"], ["logits"]),
        helper.make_node(last, ["logits"], ["scores"]),
        helper.make_node("Identity", ["row"], ["embedding"]),
    ]
    inputs = [(column, TensorProto.FLOAT, ["N", 1]) for column in ROW]
    _write_graph(directory, nodes, inputs, {"weights": weights}, (weights.shape[1], 2))
    columns = tuple(TableColumn(column, "float") for column in ROW)
    labels = () if regression else ("small", "medium", "large")
    rows: list[Raw] = [ROW, {"width": -3.0, "height": 0.25}, {"width": 4, "height": 4}]
    return _finish(directory, name, TabularPreprocessing(columns), labels, rows, 2)


def text_bundle(directory: Path, *, name: str = "mood") -> Path:
    """Counts of words to bad or good."""
    directory.mkdir(parents=True)
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel(_WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    (directory / "tokenizer.json").write_text(tokenizer.to_str())
    table = np.zeros((len(_WORDS), 2), np.float32)
    table[2], table[3] = (-2, 2), (2, -2)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
        helper.make_node("Mul", ["words", "mask3"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["embedding"], keepdims=0),
        helper.make_node("Softmax", ["embedding"], ["scores"], axis=1),
    ]
    constants = {"table": table, "last": np.array([2], np.int64), "middle": np.array([1], np.int64)}
    inputs = [(each, TensorProto.INT64, ["N", "L"]) for each in ("input_ids", "attention_mask")]
    _write_graph(directory, nodes, inputs, constants, (2, 2))
    return _finish(directory, name, TextPreprocessing(16, 1), ("bad", "good"), ["the good tide", "bad bad"], 2)


def reseal(directory: Path, bundle: Bundle) -> None:
    """Make the record agree with files that a test has altered: an attack that digests alone would not notice."""
    write_bundle(
        directory,
        name=bundle.name,
        signature=bundle.signature,
        preprocessing=bundle.preprocessing,
        lineage=bundle.lineage,
        metrics=bundle.metrics,
        per_class=bundle.per_class,
        parity=bundle.parity,
        golden=bundle.golden,
    )
    assert record_files(directory)


def publish(serving: Path, bundle: Path, version: int, *, alias: str = "champion") -> Deployment:
    """Write the manifest as a promotion does."""
    opened = open_bundle(bundle)
    deployment = Deployment(opened.bundle.name, alias, version, opened.digest, str(bundle), now(), version)
    import orjson

    write_atomic(serving / opened.bundle.name / f"{alias}.json", orjson.dumps(to_plain(deployment)))
    return deployment


def _write_graph(
    directory: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, list[Any]]],
    constants: dict[str, Any],
    widths: tuple[int, int],
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    outputs = [
        helper.make_tensor_value_info(each, TensorProto.FLOAT, ["N", width])
        for each, width in zip(("scores", "embedding"), widths, strict=True)
    ]
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        outputs,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    (directory / "model.onnx").write_bytes(model.SerializeToString())


def _finish(
    directory: Path,
    name: str,
    preprocessing: Preprocessing,
    labels: tuple[str, ...],
    golden: Sequence[Raw],
    width: int,
) -> Path:
    import onnxruntime

    signature = signature_of(preprocessing.type, preprocessing, labels, width)
    tokenizer = directory / "tokenizer.json"
    feed = Preprocessor(preprocessing, tokenizer if tokenizer.exists() else None).prepare(golden)
    session = onnxruntime.InferenceSession(directory / "model.onnx", providers=["CPUExecutionProvider"])
    scores, embedding = session.run(["scores", "embedding"], feed)
    write_golden(directory, signature, golden, scores)
    from tidemill.ports import Scored

    truth = [labels[0] if labels else "1.0"] * len(golden)
    write_reference(directory, signature, golden, Scored(scores, embedding), truth)
    write_examples(directory, signature, golden, scores, truth)
    (directory / "card.md").write_text(f"# {name}\n")
    write_bundle(
        directory,
        name=name,
        signature=signature,
        preprocessing=preprocessing,
        lineage=_LINEAGE,
        metrics={"accuracy": 1.0},
        per_class={},
        parity=Parity(len(golden), 0, 0.0, 1e-4, 0.0, 1.0),
        golden=Golden(len(golden), 1e-4),
    )
    OnnxRuntime().load(directory, open_bundle(directory).bundle, threads=1)
    return directory
