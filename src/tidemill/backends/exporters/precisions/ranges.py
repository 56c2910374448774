"""What flows through a graph while it answers rows, and the ranges that 8 bits of it should cover.

The widest range clips nothing, and one outlier makes its 256 steps coarse for all the rest. The closest one gives up
the outliers that cost less than the steps they would coarsen: the smallest mean squared error (Banner, Nahshan and
Soudry, 'Post training 4-bit quantization of convolutional networks for rapid-deployment', 2019).
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from tidemill.process import usable_cores

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray
    from onnx import ModelProto

    from tidemill.ports import Feed

    Ranges = Mapping[str, tuple[float, float]]
    """The lowest and the highest value that 8 bits cover, by tensor; 0 is among them."""

_BINS = 2048
_STEPS = 255
_SAMPLE = 1 << 16  # values of a tensor in a run that are counted: of a large picture's there are millions
_AT_ONCE = 1 << 28  # bytes: all tensors of a run are held together
_SHRINK = np.linspace(0.2, 1.0, 81)  # candidates: parts of the widest range
_TURNS = 3  # below and above in turn: each depends on the other


@dataclass(frozen=True, slots=True)
class Flow:
    """The finite values of one tensor: their extremes, and how many lie in each of equal bins between these."""

    low: float
    high: float
    counts: NDArray[np.int64]

    def widest(self) -> tuple[float, float]:
        return min(self.low, 0.0), max(self.high, 0.0)

    def noise(self) -> float:
        """Mean square of what is rounded off in the widest range, as a part of the mean square of the values."""
        low, high = self.widest()
        centres = self.low + (np.arange(_BINS) + 0.5) * (self.high - self.low) / _BINS
        power = float((self.counts * centres**2).sum() / max(1, self.counts.sum()))
        return ((high - low) / _STEPS) ** 2 / 12 / power if power else 0.0

    def closest(self) -> tuple[float, float]:
        """The range whose 256 steps have the smallest mean squared error."""
        lowest, highest = low, high = self.widest()
        filled = np.flatnonzero(self.counts)
        centres = self.low + (filled + 0.5) * (self.high - self.low) / _BINS
        counts = self.counts[filled]

        def error(low: float, high: float) -> float:
            beyond = np.maximum(np.maximum(low - centres, centres - high), 0.0)
            rounding = ((high - low) / _STEPS) ** 2 / 12
            return float((counts * np.where(beyond > 0, beyond**2, rounding)).sum())

        for _ in range(_TURNS):
            high = min((float(highest * part) for part in _SHRINK), key=lambda tried: error(low, tried))
            low = min((float(lowest * part) for part in _SHRINK), key=lambda tried: error(tried, high))
        return low, high


def flows(model: ModelProto, operators: Collection[str], feeds: Sequence[Feed]) -> dict[str, Flow]:
    """What goes into and comes out of the `operators` of `model` while it answers `feeds`, by tensor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "open.onnx"
        session, names = _opened(model, operators, path)
        small = list(_portions(session, names, feeds))
        extremes = [[_extremes(value) for value in session.run(names, feed)] for feed in small]
        ends = {name: tuple(zip(*(run[i] for run in extremes), strict=True)) for i, name in enumerate(names)}
        bounds = {name: (min(lows), max(highs)) for name, (lows, highs) in ends.items()}
        counts = {name: np.zeros(_BINS, np.int64) for name in names}
        for feed in small:
            for name, value in zip(names, session.run(names, feed), strict=True):
                counts[name] += _histogram(value, *bounds[name])
    return {name: Flow(*bounds[name], counts[name]) for name in names}


def _opened(
    model: ModelProto, operators: Collection[str], path: Path
) -> tuple[onnxruntime.InferenceSession, list[str]]:
    """The graph with those tensors as outputs, loaded as it is written: fused operators would hide some."""
    opened = onnx.shape_inference.infer_shapes(model)
    graph = opened.graph
    typed = [*graph.value_info, *graph.input, *graph.output]
    floats = {each.name for each in typed if each.type.tensor_type.elem_type == TensorProto.FLOAT}
    floats -= {constant.name for constant in graph.initializer}
    touched = {
        name for node in graph.node if node.op_type in operators for name in (*node.input, *node.output)
    } & floats
    had = {each.name for each in graph.output}
    graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in sorted(touched - had))
    onnx.save(opened, path)
    return quiet_session(path, fused=False), sorted(touched)


def quiet_session(path: Path, *, fused: bool = True) -> onnxruntime.InferenceSession:
    """The graph at `path`, loaded on as many threads as this process may use; `fused` as a server runs it."""
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if fused else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = usable_cores()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _portions(session: onnxruntime.InferenceSession, names: Sequence[str], feeds: Sequence[Feed]) -> Iterator[Feed]:
    """The rows of `feeds`, so many at a time that what flows fits into memory."""
    first = {name: values[:1] for name, values in feeds[0].items()}
    rows = max(1, int(_AT_ONCE // max(1, sum(value.nbytes for value in session.run(names, first)))))
    for feed in feeds:
        for start in range(0, len(next(iter(feed.values()))), rows):
            yield {name: values[start : start + rows] for name, values in feed.items()}


def _extremes(value: NDArray[np.float32]) -> tuple[float, float]:
    """Of the values that are finite; 0 and 0 where none is."""
    low, high = float(value.min()), float(value.max())
    if np.isfinite(low) and np.isfinite(high):
        return low, high
    finite = value[np.isfinite(value)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _histogram(value: NDArray[np.float32], low: float, high: float) -> NDArray[np.int64]:
    sample = value.reshape(-1)[:: max(1, value.size // _SAMPLE)]
    sample = sample[np.isfinite(sample)].astype(np.float64)  # in 32 bits the distance of the extremes may be infinite
    if high <= low:
        return np.bincount([0], weights=[len(sample)], minlength=_BINS).astype(np.int64)
    places = ((sample - low) * (_BINS / (high - low))).astype(np.int64)
    return np.bincount(np.clip(places, 0, _BINS - 1), minlength=_BINS)
