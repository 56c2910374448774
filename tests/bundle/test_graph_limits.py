"""Graphs that are large, of many parts, or two files in one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from tests.bundle.graphs import model
from tests.bundle.sealing import reseal
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle import graph as audit
from tidemill.bundle.graph import audit_bytes, audit_graph
from tidemill.bundle.read import open_bundle
from tidemill.bundle.write import record_files
from tidemill.errors import BundleError


def test_a_graph_larger_than_the_format_allows_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "model.onnx").open("wb") as file:
        file.truncate(1 << 31)  # a hole: it takes no room on the disk
    with pytest.raises(BundleError, match="has 2,147,483,648 bytes"):
        audit_graph(tmp_path / "model.onnx")


def test_more_fields_than_can_be_read_are_refused_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_FIELDS", 1000)
    audit_bytes(model().SerializeToString())
    many = model([helper.make_node("Identity", ["x"], ["scores"]) for _ in range(500)])
    with pytest.raises(BundleError, match="more fields than can be read"):
        audit_bytes(many.SerializeToString())


@pytest.mark.parametrize("values", [[1] * 5000, [2**62] * 5000, [0.5] * 5000, ["LEAF", "BRANCH_LEQ"] * 2500])
def test_the_numbers_of_trees_are_taken_together_and_count_as_few(
    values: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_FIELDS", 1000)
    node = helper.make_node("TreeEnsemble", ["x"], ["scores"], domain="ai.onnx.ml", numbers=values, last=1)
    assert audit_bytes(model([node], domains=["ai.onnx.ml"]).SerializeToString()).nodes == 2


def test_what_follows_the_numbers_of_trees_is_audited_all_the_same() -> None:
    node = helper.make_node("Identity", ["x"], ["scores"], numbers=[3] * 200)
    content = model([node]).SerializeToString()
    numbers = b"\x40\x03" * 200
    assert numbers in content
    with pytest.raises(BundleError, match="sparse"):
        audit_bytes(content.replace(numbers, numbers[:-4] + b"\xb2\x01\x01\x00"))  # field 22


def test_a_long_run_is_no_shape_and_a_short_one_is() -> None:
    for sizes, grows in (([1 << 20] * 2, True), ([1 << 20] * 200, False)):
        constant = helper.make_node("Constant", [], ["shape"], value_ints=sizes)
        made = model([constant, helper.make_node("ConstantOfShape", ["shape"], ["scores"])]).SerializeToString()
        if grows:
            with pytest.raises(BundleError, match="asks for"):
                audit_bytes(made)
        else:
            audit_bytes(made)


def _two_in_one(directory: Path, hidden: Path) -> bytes:
    """An ONNX file that holds the bundle's graph, and is a file of ONNX Runtime's own format with `hidden` at once.

    Its first eight bytes are two fields of ONNX (a version, a producer called ORTM) and, for the other format, where
    the content begins, and its mark. That lies 68 MB further on, in what is a comment to ONNX.
    """
    head, begin = b"\x08\x0a\x12\x04ORTM", 0x04120A08
    content = hidden.read_bytes()
    start = begin - int.from_bytes(content[:4], "little")
    sound = onnx.load(directory / "model.onnx")
    for field in ("ir_version", "producer_name", "doc_string"):
        sound.ClearField(field)
    size = start + len(content) - len(head) - 5
    comment = b"\x32" + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21])
    padding = bytes(start - len(head) - len(comment))
    return b"".join([head, comment, padding, content, sound.SerializeToString()])


def test_a_file_that_is_two_formats_at_once_is_refused_and_read_as_what_was_audited(
    example: Path, tmp_path: Path
) -> None:
    bias = onnx.load(example / "model.onnx")
    for node in bias.graph.node:
        node.output[:] = ["plain" if name == "scores" else name for name in node.output]
        node.input[:] = ["plain" if name == "scores" else name for name in node.input]
    bias.graph.node.append(helper.make_node("Neg", ["plain"], ["scores"]))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "hidden.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(bias.SerializeToString(), options, providers=["CPUExecutionProvider"])
    opened = open_bundle(example)
    (example / "model.onnx").write_bytes(_two_in_one(example, tmp_path / "hidden.ort"))
    reseal(example)
    with pytest.raises(BundleError, match="looks like a file of ONNX Runtime's own format"):
        open_bundle(example)
    opened.bundle.files["model.onnx"] = record_files(example)["model.onnx"]  # type: ignore[index]  # past the audit
    session = OnnxRuntime().load(example, opened.bundle, threads=1)
    feed = {tensor.name: np.zeros((1, 1), np.float32) for tensor in opened.bundle.signature.inputs[:3]}
    assert (session.run({**feed, "colour": np.array([["blue"]], object)}).scores > 0).all()
    os.truncate(example / "model.onnx", 0)  # 68 MB
