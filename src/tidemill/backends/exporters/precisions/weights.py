"""What a graph holds that can be made smaller, and which part of a graph cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from tidemill.errors import GateError

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnx import TensorProto as Constant

MULTIPLYING = ("Conv", "Gemm", "MatMul")
"""Operators with most of a network's weights and nearly all of its work."""

LOOKING_UP = ("Gather",)
"""Of a text encoder: its table of words is half of its weights."""


def check_reducible(model: ModelProto, precision: str) -> None:
    """Raises GateError naming the estimators of a graph that has no weights to make smaller."""
    constants = {constant.name for constant in large_constants(model)}
    if any(node.op_type in MULTIPLYING and constants.intersection(node.input) for node in model.graph.node):
        return
    estimators = sorted({node.op_type for node in model.graph.node if node.domain == "ai.onnx.ml"})
    held = [name for name in estimators if name.endswith(("Classifier", "Regressor"))] or estimators
    what = f"{', '.join(held)}: " if held else ""
    raise GateError(
        f"this model has no {precision} form: {what}there is no layer whose weights could be made smaller",
        "export it with precision float32",
    )


def large_constants(model: ModelProto) -> Iterator[Constant]:
    """The float32 constants of two dimensions or more: weights, not the scales and shifts beside them."""
    for constant in model.graph.initializer:
        if constant.data_type == TensorProto.FLOAT and len(constant.dims) > 1 and np.prod(constant.dims) > 1:
            yield constant
