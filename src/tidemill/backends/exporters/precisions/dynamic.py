"""int8_dynamic: matrices multiplied in 8 bits, the range of what comes in taken from each batch as it comes.

Weights get a scale for each output channel and 7 of the 8 bits: with 8, CPUs without VNNI overflow 16-bit sums, and a
graph would answer differently from machine to machine.

Convolutions are left as they are but for their weights, which are kept in 8 bits and become 32 when the graph is
loaded. ONNX Runtime's quantiser gives an integer convolution one scale for all channels, and its kernel is slower than
the one for 32 bits: on CIFAR-10 a network was five times slower, and answered 8 % of the rows differently.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tidemill.backends.exporters.precisions.equal import equalise
from tidemill.backends.exporters.precisions.prepared import prepared
from tidemill.backends.exporters.precisions.weights import LOOKING_UP, check_reducible, large_constants

if TYPE_CHECKING:
    from onnx import ModelProto

_MULTIPLYING = ("Gemm", "MatMul")
_STEPS = 127


def to_integers_dynamic(model: ModelProto, path: Path) -> None:
    """Write the quantised `model` to `path`. Raises GateError for a graph that has no such form."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    check_reducible(model, "int8_dynamic")
    with prepared(model, "int8_dynamic") as folded:
        balanced = onnx.load(folded)
        equalise(balanced)
        onnx.save(balanced, folded)
        quantize_dynamic(
            folded,
            path,
            op_types_to_quantize=[*_MULTIPLYING, *LOOKING_UP],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        written = onnx.load(path)
        keep_convolutions(written)
        onnx.save(written, path)


def keep_convolutions(model: ModelProto) -> None:
    """Change the weights of convolutions in `model` to 8 bits with a scale for each output channel.

    The casts back are of constants, so they are done once, when the graph is loaded.
    """
    weights = {node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    widened, scales = [], []
    for constant in [each for each in large_constants(model) if each.name in weights]:
        values, name = numpy_helper.to_array(constant), constant.name
        largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
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
