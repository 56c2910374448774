"""int8_dynamic: matrices multiplied in 8 bits, the range of what comes in taken from each batch as it comes.

Weights get a scale for each output channel and 7 of the 8 bits: with 8, CPUs without VNNI overflow 16-bit sums, and a
graph would answer differently from machine to machine.

A matrix whose input has values far beyond the others, as inside an encoder of text, is multiplied in 32 bits: one scale
for the tensor would round the others away. So are convolutions: ONNX Runtime's quantiser gives them one scale for all
channels, and the kernel is slower than the one for 32 bits; on CIFAR-10 a network was five times slower, and answered
8 % of the rows differently. Of both only the weights are kept in 8 bits, and become 32 when the graph is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tidemill.backends.exporters.precisions.equal import equalise
from tidemill.backends.exporters.precisions.prepared import prepared
from tidemill.backends.exporters.precisions.ranges import flows
from tidemill.backends.exporters.precisions.weights import LOOKING_UP, check_reducible, large_constants

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from tidemill.ports import Feed

_MULTIPLYING = ("Gemm", "MatMul")
_STEPS = 127
_NOISE = 3e-3  # of the power of a tensor; what is rounded off of an ordinary one is a thousandth


def to_integers_dynamic(model: ModelProto, path: Path, feeds: Sequence[Feed]) -> None:
    """Write the quantised `model` to `path`; which inputs have outliers is measured on the batches `feeds`.

    Raises GateError for a graph that has no such form.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    check_reducible(model, "int8_dynamic")
    with prepared(model, "int8_dynamic") as folded:
        balanced = onnx.load(folded)
        equalise(balanced)
        whole = [node for node in balanced.graph.node if node.op_type == "Conv"] + _outlying(balanced, feeds)
        onnx.save(balanced, folded)
        quantize_dynamic(
            folded,
            path,
            op_types_to_quantize=[*_MULTIPLYING, *LOOKING_UP],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[node.name for node in whole if node.op_type == "MatMul"],
            extra_options={"MatMulConstBOnly": True},
        )
        written = onnx.load(path)
        _keep(written, {node.input[1]: 0 if node.op_type == "Conv" else -1 for node in whole})
        onnx.save(written, path)


def _outlying(model: ModelProto, feeds: Sequence[Feed]) -> list[NodeProto]:
    """Multiplications by a constant matrix, of inputs that 8 bits would hold badly."""
    matrices = {constant.name for constant in large_constants(model)}
    nodes = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in matrices]
    if not nodes or not feeds:
        return []
    found = flows(model, ("MatMul",), feeds)
    outlying = [node for node in nodes if found[node.input[0]].noise() > _NOISE]
    for node in outlying:
        node.name = node.name or node.output[0]  # by which the quantiser is told
    return outlying


def _keep(model: ModelProto, axes: Mapping[str, int]) -> None:
    """Change the weights named in `axes` to 8 bits with a scale for each output channel, which lies along that axis.

    The casts back are of constants, so they are done once, when the graph is loaded.
    """
    widened, scales = [], []
    for constant in [each for each in large_constants(model) if each.name in axes]:
        values, name = numpy_helper.to_array(constant), constant.name
        others = tuple(axis for axis in range(values.ndim) if axis != axes[name] % values.ndim)
        largest = np.abs(values).max(axis=others, keepdims=True)
        scale = np.where(largest > 0, largest / _STEPS, 1).astype(np.float32)
        constant.CopyFrom(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{name}/8"))
        scales.append(numpy_helper.from_array(scale, f"{name}/scale"))
        widened += [
            helper.make_node("Cast", [f"{name}/8"], [f"{name}/steps"], name=f"{name}/widen", to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}/steps", f"{name}/scale"], [name], name=f"{name}/unit"),
        ]
    nodes = [*widened, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(scales)
