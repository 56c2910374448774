"""Channels of like size, so that one scale suits all of them (Nagel, van Baalen, Blankevoort and Welling, 'Data-free
quantization through weight equalization and bias correction', 2019).

What goes from one convolution to the next through nothing but ReLU and pooling may be multiplied by any positive
number, channel by channel, and divided by it in the next one's weights: the answers stay. The numbers are chosen such
that the weights that make a channel and those that use it have the same range.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from onnx import numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto

_HOMOGENEOUS = ("Relu", "MaxPool", "AveragePool", "GlobalAveragePool")
"""f(c x) = c f(x) for c > 0, each channel for itself."""

_ROUNDS = 8  # a convolution between two others is changed by both
_LARGEST = 1e3  # of one factor


class _Pair(NamedTuple):
    first: NodeProto
    second: NodeProto


def equalise(model: ModelProto) -> bool:
    """Change the weights of `model`, whose normalisations are folded; False when it has no such convolutions."""
    graph = model.graph
    pairs = _pairs(graph)
    names = {name for pair in pairs for name in (*pair.first.input[1:], pair.second.input[1])}
    weights = {each.name: numpy_helper.to_array(each).copy() for each in graph.initializer if each.name in names}
    for _ in range(_ROUNDS):
        for pair in pairs:
            _balance(pair, weights)
    for constant in graph.initializer:
        if constant.name in weights:
            constant.CopyFrom(numpy_helper.from_array(weights[constant.name], constant.name))
    return bool(pairs)


def _pairs(graph: GraphProto) -> list[_Pair]:
    """Convolutions that follow each other, with weights that nothing else uses."""
    users: dict[str, list[NodeProto]] = {each.name: [] for each in graph.output}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    outputs = {each.name for each in graph.output}
    constants = {each.name for each in graph.initializer}

    def own(node: NodeProto) -> bool:
        return all(name in constants and len(users[name]) == 1 for name in node.input[1:])

    def following(name: str) -> NodeProto | None:
        after = users.get(name, [])
        if name in outputs or len(after) != 1 or after[0].input[0] != name:
            return None
        return following(after[0].output[0]) if after[0].op_type in _HOMOGENEOUS else after[0]

    pairs = []
    for node in graph.node:
        after = following(node.output[0]) if node.op_type == "Conv" else None
        if after is not None and after.op_type == "Conv" and own(node) and own(after):
            pairs.append(_Pair(node, after))
    return pairs


def _balance(pair: _Pair, weights: Mapping[str, NDArray[np.float32]]) -> None:
    making, using = weights[pair.first.input[1]], weights[pair.second.input[1]]
    groups = next((each.i for each in pair.second.attribute if each.name == "group"), 1)
    split = using.reshape(groups, -1, *using.shape[1:])  # [groups, outputs, inputs of a group, ...]: a view
    out = np.abs(making).reshape(len(making), -1).max(axis=1)
    into = np.abs(split).max(axis=(1, *range(3, split.ndim))).reshape(-1)
    usable = (out > 0) & (into > 0)
    factor = np.ones_like(out)
    factor[usable] = np.clip(np.sqrt(out[usable] / into[usable]), 1 / _LARGEST, _LARGEST)
    making /= factor.reshape(-1, *[1] * (making.ndim - 1))
    for bias in pair.first.input[2:]:
        weights[bias][:] /= factor
    split *= factor.reshape(groups, 1, -1, *[1] * (split.ndim - 3))
