"""int8_static: arithmetic in 8 bits by ranges that were taken once, from rows of the training data.

Weights get a scale for each output channel and 7 of the 8 bits, see `dynamic`. Quantise and dequantise pairs stand
around operators of the standard, which ONNX Runtime turns into arithmetic in integers (QDQ,
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html). Which ranges are right depends on the
network: clipping outliers helps most of them, and an encoder of text may live by its outliers. So it is made with each
kind, of the graph as it is and with its channels equalised, and the one whose answers to rows that were not measured
are the nearest to the graph's in 32 bits is kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx

from tidemill.backends.exporters.precisions.equal import equalise
from tidemill.backends.exporters.precisions.prepared import prepared
from tidemill.backends.exporters.precisions.ranges import flows, quiet_session
from tidemill.backends.exporters.precisions.weights import LOOKING_UP, MULTIPLYING, check_reducible
from tidemill.errors import GateError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from tidemill.backends.exporters.precisions.ranges import Ranges
    from tidemill.ports import Feed

_PASSING = ("MaxPool", "AveragePool", "GlobalAveragePool", "Relu", "Clip", "Add", "Concat", "Flatten", "Reshape")
"""Operators between convolutions that stay in 8 bits, so that nothing is turned to 32 and back in between."""


class Calibration(NamedTuple):
    """Batches of rows that no gate judges by: to measure ranges on, and to choose between kinds of ranges.

    The second are only made where they are asked for; where there are none, the choice is by the first.
    """

    measured: Sequence[Feed]
    held_back: Callable[[], Sequence[Feed]] = tuple


def to_integers_static(model: ModelProto, path: Path, calibration: Calibration) -> None:
    """Write the quantised `model` to `path`. Raises GateError for a graph that has no such form."""
    check_reducible(model, "int8_static")
    if not calibration.measured:
        raise GateError("int8_static needs rows to calibrate with, and there are none", "add data with a train split")
    convolves = any(node.op_type == "Conv" for node in model.graph.node)
    operators = (*MULTIPLYING, *(_PASSING if convolves else LOOKING_UP))
    with prepared(model, "int8_static") as folded:
        tried = [
            _quantise(whole, f"{whole.stem}-{number}.onnx", operators, ranges)
            for whole in (folded, *_balanced(folded))
            for number, ranges in enumerate(_kinds(whole, operators, calibration.measured))
        ]
        shutil.copyfile(_nearest(folded, tried, calibration.held_back() or calibration.measured), path)


def _balanced(folded: Path) -> list[Path]:
    """The same graph with equal channels, if that is another."""
    model = onnx.load(folded)
    if not equalise(model):
        return []
    path = folded.with_name("balanced.onnx")
    onnx.save(model, path)
    return [path]


def _kinds(folded: Path, operators: Sequence[str], feeds: Sequence[Feed]) -> list[Ranges]:
    found = flows(onnx.load(folded), operators, feeds)
    return [
        {name: flow.closest() for name, flow in found.items()},
        {name: flow.widest() for name, flow in found.items()},
    ]


def _quantise(folded: Path, name: str, operators: Sequence[str], ranges: Ranges) -> Path:
    path = folded.with_name(name)
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

    known = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    measured = path.with_suffix(".ranges.json")
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, known), measured)
    quantize_static(
        folded,
        path,
        None,
        calibration_cache_path=measured,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(operators),
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        # what a Gemm gives stays in 32 bits: it is often the logits, where 8 bits would make equals of neighbours
        extra_options={"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
    )
    return path


def _nearest(whole: Path, tried: Sequence[Path], feeds: Sequence[Feed]) -> Path:
    """The graph of `tried` whose scores are on the whole the nearest to those of `whole`, where these are numbers.

    One that has no number where `whole` has one is the farthest.
    """
    truth = _scores(whole, feeds)
    known = np.isfinite(truth)

    def distance(path: Path) -> float:
        apart = np.abs(_scores(path, feeds)[known] - truth[known])
        return float(np.nan_to_num(apart, nan=np.inf, posinf=np.inf).sum(dtype=np.float64))

    return min(tried, key=distance)


def _scores(path: Path, feeds: Sequence[Feed]) -> NDArray[np.float32]:
    session = quiet_session(path)
    return np.concatenate([session.run(["scores"], dict(feed))[0] for feed in feeds])
