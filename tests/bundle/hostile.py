"""Bundles that pass the audit and are bad all the same: what they do shows when a library reads or runs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.bundle.sealing import reseal


def before_scores(directory: Path, nodes: Sequence[NodeProto], constants: dict[str, np.ndarray] | None = None) -> None:
    """Let the scores be what they were plus `extra`, a scalar that `nodes` make of `constants`; seal it again."""
    made = onnx.load(directory / "model.onnx")
    for node in made.graph.node:
        for names in (node.input, node.output):
            names[:] = ["plain" if name == "scores" else name for name in names]
    made.graph.node.extend(nodes)
    made.graph.node.append(helper.make_node("Add", ["plain", "extra"], ["scores"]))
    for name, value in (constants or {}).items():
        made.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.save(made, directory / "model.onnx")
    reseal(directory)


def grow(directory: Path) -> None:
    """A graph of harmless sizes whose product is 2^42 numbers, made of its input: nothing shows before it runs."""
    zero = helper.make_node("ConstantOfShape", ["side"], ["line"])
    column = helper.make_node("Reshape", ["line", "upright"], ["column"])
    outer = helper.make_node("Add", ["line", "column"], ["square"])
    total = helper.make_node("ReduceMax", ["square"], ["extra"], keepdims=0)
    constants = {"side": np.array([1 << 21]), "upright": np.array([-1, 1])}
    before_scores(directory, [zero, column, outer, total], constants)


def endless(directory: Path) -> None:
    """A loop that is told to go on for ever."""
    values = [helper.make_tensor_value_info(name, kind, []) for name, kind in (
        ("i", TensorProto.INT64), ("go", TensorProto.BOOL), ("v", TensorProto.FLOAT))]  # fmt: skip
    out = [
        helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("w", TensorProto.FLOAT, []),
    ]
    step = [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Sin", ["v"], ["w"])]
    body = helper.make_graph(step, "body", values, out)
    loop = helper.make_node("Loop", ["", "yes", "start"], ["extra"], body=body)
    before_scores(directory, [loop], {"yes": np.array(True), "start": np.array(0, np.float32)})


def lie(directory: Path) -> None:
    """Every score is half too high."""
    before_scores(directory, [helper.make_node("Identity", ["half"], ["extra"])], {"half": np.array(0.5, np.float32)})


def abort(directory: Path) -> None:
    """One bit of a table's description: Arrow finds it in a destructor, which ends the process."""
    content = bytearray((directory / "reference.parquet").read_bytes())
    content[2000] ^= 1
    (directory / "reference.parquet").write_bytes(content)
    reseal(directory)
