"""float16: each weight is kept in 16 bits and becomes 32 bits when the graph is loaded.

A CPU has no 16-bit arithmetic that ONNX Runtime would use: it would cast before and after each operator. So only what
is kept gets smaller, the arithmetic stays as it is, and so do the answers but for the rounding of the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tidemill.backends.exporters.precisions.weights import check_reducible, large_constants
from tidemill.errors import GateError

if TYPE_CHECKING:
    from onnx import ModelProto


def to_halves(model: ModelProto) -> None:
    """Change `model` in place. Raises GateError for a weight that 16 bits cannot hold."""
    check_reducible(model, "float16")
    casts = []
    for constant in large_constants(model):
        values = numpy_helper.to_array(constant)
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise GateError(
                f"the weight {constant.name!r} holds {np.abs(values).max():.3g}, more than float16 can",
                "export it with precision float32",
            )
        name, short = constant.name, f"{constant.name}/16"
        constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), short))
        casts.append(helper.make_node("Cast", [short], [name], name=f"{name}/widen", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
