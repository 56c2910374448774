"""Small ONNX models, sound and hostile, made with ONNX's own library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


def model(
    nodes: Sequence[NodeProto] | None = None,
    constants: Sequence[TensorProto] = (),
    *,
    domains: Sequence[str] = (),
    **graph: Any,
) -> ModelProto:
    """float32 [N, 1] in, `scores` and `embedding` out."""
    nodes = nodes or [helper.make_node("Identity", ["x"], ["scores"])]
    nodes = [*nodes, helper.make_node("Identity", ["x"], ["embedding"])]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in ("x", "scores", "embedding")]
    made = helper.make_graph(nodes, "g", value[:1], value[1:], list(constants), **graph)
    opsets = [helper.make_opsetid("", 20), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def tensor(name: str = "c", **fields: Any) -> TensorProto:
    """Four float32 zeros, with `fields` set over them."""
    made: TensorProto = numpy_helper.from_array(np.zeros(4, np.float32), name)
    for field, value in fields.items():
        if field == "dims":
            del made.dims[:]
            made.dims.extend(value)
        else:
            setattr(made, field, value)
    return made


def external(location: str) -> TensorProto:
    """A tensor whose bytes lie in another file."""
    made = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    made.external_data.add(key="location", value=location)
    return made


def shape(*sizes: int) -> TensorProto:
    """A constant int64 tensor called `shape`."""
    made: TensorProto = numpy_helper.from_array(np.array(sizes, np.int64), "shape")
    return made
