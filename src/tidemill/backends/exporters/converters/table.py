"""Models of tables to ONNX: one input a column, then encoding, estimator and embedding in one graph."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import onnx
import onnx.numpy_helper
from onnx import TensorProto, helper

from tidemill.domain.bundle import Signature, TabularPreprocessing
from tidemill.errors import GateError

if TYPE_CHECKING:
    from onnx import ModelProto

OPSETS = {"": 15, "ai.onnx.ml": 3}
"""What both converters write; IR version 8 is the one that belongs to them."""

_IR = 8
_FEATURES = "features"
_SEEN = "scores_of_seen_classes"


@runtime_checkable
class LinearSource(Protocol):
    """`pipeline` has two steps: `encode`, from columns to features, which are the embedding too, and `predict`."""

    signature: Signature
    preprocessing: TabularPreprocessing
    pipeline: Any


@runtime_checkable
class TreesSource(Protocol):
    """`encoder` makes the features, `booster` (XGBoost's) scores them, `standardiser` makes them the embedding."""

    signature: Signature
    preprocessing: TabularPreprocessing
    encoder: Any
    booster: Any
    standardiser: Any


def convert_table(model: LinearSource | TreesSource, path: Path) -> None:
    """Write `model` to `path`. Raises GateError naming the step that cannot be converted."""
    width = model.signature.outputs[1].shape[1]
    graph = _Assembly()
    encoder = model.pipeline["encode"] if isinstance(model, LinearSource) else model.encoder
    names = [tensor.name for tensor in model.signature.inputs]
    graph.add("encode", _encoder(encoder, model), names, {0: _FEATURES})
    if isinstance(model, LinearSource):
        estimator = model.pipeline["predict"]
        seen = list(estimator.classes_) if model.signature.labels else []
        whole = len(seen) == len(model.signature.labels)
        graph.add("predict", _sklearn(estimator, width), [_FEATURES], {-1: "scores" if whole else _SEEN})
        if not whole:
            graph.spread(_SEEN, "scores", seen, len(model.signature.labels))
        graph.nodes.append(helper.make_node("Identity", [_FEATURES], ["embedding"]))
    else:
        graph.add("predict", _trees(model.booster, width), [_FEATURES], {-1: "scores"})
        graph.add("standardise", _sklearn(model.standardiser, width), [_FEATURES], {0: "embedding"})
    onnx.save(graph.model(model.signature), path)


class _Assembly:
    """One graph from several: inner names get the part's name before them, so that they cannot meet."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, part: str, model: ModelProto, inputs: Sequence[str], outputs: dict[int, str]) -> None:
        """Add the nodes of `model`, its inputs and the numbered ones of its outputs called as given."""
        graph = model.graph
        new = {value.name: name for value, name in zip(graph.input, inputs, strict=True)}
        new |= {graph.output[index].name: name for index, name in outputs.items()}

        def renamed(name: str) -> str:
            return new.get(name, f"{part}/{name}") if name else ""

        for constant in graph.initializer:
            constant.name = renamed(constant.name)
            self.constants.append(constant)
        for node in graph.node:
            inner = [renamed(name) for name in node.input], [renamed(name) for name in node.output]
            del node.input[:], node.output[:]
            node.input.extend(inner[0])
            node.output.extend(inner[1])
            node.name = f"{part}/{node.name or node.output[0]}"
            self.nodes.append(node)

    def spread(self, source: str, into: str, positions: Sequence[int], width: int) -> None:
        """Put the columns of `source` at `positions` of a matrix that is `width` wide and 0 elsewhere."""
        places = np.zeros((len(positions), width), np.float32)
        places[np.arange(len(positions)), list(positions)] = 1.0
        self.constants.append(onnx.numpy_helper.from_array(places, f"{into}/places"))
        self.nodes.append(helper.make_node("MatMul", [source, f"{into}/places"], [into]))

    def model(self, signature: Signature) -> ModelProto:
        """The whole, with the inputs and outputs of `signature`."""
        kinds = {"float32": TensorProto.FLOAT, "str": TensorProto.STRING}
        inputs, outputs = (
            [helper.make_tensor_value_info(t.name, kinds[t.dtype], ["batch", *t.shape[1:]]) for t in tensors]
            for tensors in (signature.inputs, signature.outputs)
        )
        graph = helper.make_graph(self.nodes, "table", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="tidemill")


def _encoder(encoder: Any, model: LinearSource | TreesSource) -> ModelProto:
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    types = {"float32": FloatTensorType([None, 1]), "str": StringTensorType([None, 1])}
    return _converted(encoder, [(tensor.name, types[tensor.dtype]) for tensor in model.signature.inputs])


def _sklearn(estimator: Any, width: int) -> ModelProto:
    from skl2onnx.common.data_types import FloatTensorType

    return _converted(estimator, [(_FEATURES, FloatTensorType([None, width]))])


def _converted(estimator: Any, inputs: list[tuple[str, Any]]) -> ModelProto:
    from skl2onnx import convert_sklearn
    from sklearn.preprocessing import StandardScaler

    # "div": as scikit-learn computes it; multiplying with the inverse moves rows across the splits of trees
    options: dict[Any, Any] = {StandardScaler: {"div": "div"}}
    if hasattr(estimator, "classes_"):
        options[id(estimator)] = {"zipmap": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter reads what scikit-learn is about to give up
            found: ModelProto = convert_sklearn(estimator, initial_types=inputs, target_opset=OPSETS, options=options)
    except Exception as error:  # the converter's errors have no class in common
        raise _refused(type(estimator).__name__, error) from error
    return found


def _trees(booster: Any, width: int) -> ModelProto:
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    try:
        types = [(_FEATURES, FloatTensorType([None, width]))]
        found: ModelProto = convert_xgboost(booster, initial_types=types, target_opset=OPSETS[""])
    except Exception as error:  # as above
        raise _refused("XGBoost", error) from error
    return found


def _refused(what: str, error: Exception) -> GateError:
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return GateError(f"{what} cannot be written as ONNX: {first[:300]}", "choose another model")
