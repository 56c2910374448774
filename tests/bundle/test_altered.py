"""One thing altered in a bundle, and every digest made anew: the replay still sees it, and says what it is."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.bundle.sealing import Record, edit, reseal
from tests.bundle.sources import LINEAGE, picture_model, sentence_model, table_model
from tidemill.backends.exporters.onnx import OnnxExporter
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.meaning import meaning
from tidemill.bundle.prove import prove
from tidemill.bundle.read import read_record
from tidemill.config.schema import ExportConfig
from tidemill.errors import BundleError, GateError
from tidemill.stages.export import export

LINES = "golden.jsonl"

pytestmark = pytest.mark.slow  # three exports

MODELS: dict[str, Callable[[], Any]] = {
    "image": lambda: picture_model(12, 10, 3),
    "text": sentence_model,
    "tabular": lambda: table_model("linear", classes=4, nullable=False),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle of each task, as training exports it."""
    folder = tmp_path_factory.mktemp("made")
    bundles = {}
    for task, make in MODELS.items():
        model, examples = make()
        opened = export(
            model, examples, name="victim", config=ExportConfig(golden_rows=12, tolerance=1e-4), lineage=LINEAGE,
            metrics={}, per_class={}, exporter=OnnxExporter(), runtime=OnnxRuntime(), bundles=folder / task,
            staging=folder / "staging", threads=1,
        )  # fmt: skip
        bundles[task] = opened.directory
    return bundles


@pytest.fixture
def take(made: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda task: Path(shutil.copytree(made[task], tmp_path / "bundle"))


def _tell(directory: Path, told: bytes) -> None:
    """Let the golden requests say this of what their numbers mean."""
    _, _, rows = (directory / LINES).read_bytes().partition(b"\n")
    (directory / LINES).write_bytes(told + b"\n" + rows)


def _mean(directory: Path) -> None:
    """As whoever wants an alteration to pass: the golden requests are said to mean what the record says now."""
    tokenizer = directory / "tokenizer.json"
    _tell(directory, meaning(read_record(directory)[0].signature, tokenizer if tokenizer.exists() else None))


def _altered(directory: Path, why: str) -> None:
    reseal(directory)
    with pytest.raises(GateError) as refused:
        prove(directory, None, runtime=OnnxRuntime())
    assert re.search(why, refused.value.headline), refused.value.headline


def _scale_constants(directory: Path, wanted: Callable[[str, np.ndarray], bool], factor: float) -> int:
    """Multiply the first number of every constant that is `wanted`; returns how many there are."""
    model = onnx.load(directory / "model.onnx")
    constants = list(model.graph.initializer)
    constants += [each.t for node in model.graph.node if node.op_type == "Constant" for each in node.attribute]
    found = 0
    for constant in constants:
        values = numpy_helper.to_array(constant).copy()
        if values.dtype == np.float32 and values.size and wanted(constant.name, values):
            values.reshape(-1)[0] *= factor
            constant.CopyFrom(numpy_helper.from_array(values, constant.name))
            found += 1
    onnx.save(model, directory / "model.onnx")
    return found


WRONG_SCORE = r"^golden request \d+ of victim: score '\w+' is \S+, kept \S+ \(difference \S+, allowed"


@pytest.mark.parametrize("task", MODELS)
def test_as_it_was_made_it_passes(take: Callable[[str], Path], task: str) -> None:
    directory = take(task)
    reseal(directory)
    prove(directory, None, runtime=OnnxRuntime())


@pytest.mark.parametrize("which", [0.4, 0.2], ids=["mean", "deviation"])
def test_one_constant_of_the_normalisation_of_pictures(take: Callable[[str], Path], which: float) -> None:
    directory = take("image")
    close = {0.4: (0.4, 0.4 * 255, -0.4), 0.2: (0.2, 0.2 * 255, 1 / 0.2, 1 / (0.2 * 255))}[which]

    def wanted(_: str, values: np.ndarray) -> bool:
        return values.size == 3 and any(np.allclose(values, each, rtol=1e-5) for each in close)

    assert _scale_constants(directory, wanted, 1.5)
    _altered(directory, WRONG_SCORE)


def test_one_constant_of_the_scaling_of_a_column(take: Callable[[str], Path]) -> None:
    directory = take("tabular")
    assert _scale_constants(directory, lambda _, values: float(np.abs(values).max()) > 500, 1.2)
    _altered(directory, WRONG_SCORE)


def test_one_weight_of_a_model_for_text(take: Callable[[str], Path]) -> None:
    directory = take("text")
    assert _scale_constants(directory, lambda _, values: values.shape == (4,), 20) + _scale_constants(
        directory, lambda _, values: values.ndim == 2 and 4 in values.shape, 20
    )
    _altered(directory, WRONG_SCORE)


@pytest.mark.parametrize(("task", "kept"), [("image", True), ("text", True), ("tabular", True), ("tabular", False)])
def test_labels_in_another_order(take: Callable[[str], Path], task: str, kept: bool) -> None:
    directory = take(task)

    def swap(record: Record) -> None:
        labels = record["signature"]["labels"]
        labels[0], labels[1] = labels[1], labels[0]

    edit(directory, swap)
    if not kept:
        _mean(directory)
    if kept:
        _altered(directory, "^the golden requests of victim are of another model: label 0 is 'b', kept 'a'$")
    else:
        _altered(directory, r"^golden request \d+ of victim: the answer is '[ab]', kept '[ab]', for the same scores$")


def test_columns_in_another_order(take: Callable[[str], Path]) -> None:
    directory = take("tabular")

    def swap(record: Record) -> None:
        for listed in (record["preprocessing"]["columns"], record["signature"]["inputs"]):
            listed[0], listed[1] = listed[1], listed[0]

    edit(directory, swap)
    _altered(directory, "^the golden requests of victim are of another model: input 0 is 'a_b', kept 'a b'$")


def test_two_columns_of_the_graph_in_each_others_place(take: Callable[[str], Path]) -> None:
    directory = take("tabular")
    model = onnx.load(directory / "model.onnx")
    other = {"a b": "a_b", "a_b": "a b"}
    for node in model.graph.node:
        node.input[:] = [other.get(name, name) for name in node.input]
    onnx.save(model, directory / "model.onnx")
    _altered(directory, WRONG_SCORE)


@pytest.mark.parametrize("kept", [True, False], ids=["digest kept", "digest made anew"])
def test_tokens_in_another_order(take: Callable[[str], Path], kept: bool) -> None:
    directory = take("text")
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    words["w1"], words["w2"] = words["w2"], words["w1"]
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    if kept:
        _altered(directory, r"are of another model: the tokenizer is sha256:\w+…, kept sha256:\w+…$")
    else:
        _mean(directory)
        _altered(directory, WRONG_SCORE)


@pytest.mark.parametrize(
    "told", [b"", b"[]", b"{}", b'{"labels": 1, "inputs": [], "tokenizer": ""}', b"[" * 100_000, b"\xff"]
)
def test_a_meaning_that_is_none(take: Callable[[str], Path], told: bytes) -> None:
    directory = take("tabular")
    _tell(directory, told)
    reseal(directory)
    with pytest.raises(BundleError, match=r"golden\.jsonl"):
        prove(directory, None, runtime=OnnxRuntime())


def test_the_mode_of_pictures(take: Callable[[str], Path]) -> None:
    directory = take("image")
    edit(directory, lambda record: record["preprocessing"].update(mode="L"))
    reseal(directory)
    with pytest.raises(BundleError):  # one channel is not what the graph takes
        prove(directory, None, runtime=OnnxRuntime())
