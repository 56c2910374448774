"""int8: weights, and what is multiplied with them, in 8 bits (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).

dynamic: the range of what comes in is taken from each batch as it comes. static: it is taken once, from rows of the
training data. Weights get a scale for each output channel and 7 of the 8 bits: with 8, CPUs without VNNI overflow
16-bit sums, and a graph would answer differently from machine to machine.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from tidemill.backends.exporters.precisions.weights import MULTIPLYING, check_reducible
from tidemill.errors import GateError, first_line

if TYPE_CHECKING:
    from onnx import ModelProto

    from tidemill.ports import Feed

_LOOKING_UP = ("Gather",)
"""Of a text encoder: its table of words is half of its weights."""

_PASSING = ("MaxPool", "AveragePool", "GlobalAveragePool", "Relu", "Clip", "Add", "Concat", "Flatten", "Reshape")
"""Operators between convolutions that stay in 8 bits, so that nothing is turned to 32 and back in between."""


def to_integers_dynamic(model: ModelProto, path: Path) -> None:
    """Write the quantised `model` to `path`. Raises GateError for a graph that has no such form."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    check_reducible(model, "int8_dynamic")
    with _prepared(model, "int8_dynamic") as prepared:
        quantize_dynamic(
            prepared,
            path,
            op_types_to_quantize=[*MULTIPLYING, *_LOOKING_UP],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )


def to_integers_static(model: ModelProto, path: Path, calibration: Sequence[Feed]) -> None:
    """Write `model` to `path`, quantised by the ranges that the batches of `calibration` give. Raises GateError."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    check_reducible(model, "int8_static")
    if not calibration:
        raise GateError("int8_static needs rows to calibrate with, and there are none", "add data with a train split")
    convolves = any(node.op_type == "Conv" for node in model.graph.node)
    with _prepared(model, "int8_static") as prepared:
        quantize_static(
            prepared,
            path,
            _Batches(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*MULTIPLYING, *(_PASSING if convolves else _LOOKING_UP)],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # what a Gemm gives stays in 32 bits: it is often the logits, where 8 bits would make equals of neighbours
            extra_options={"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
        )


class _Batches:
    """What ONNX Runtime's calibration reads."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, Any] | None:
        feed = next(self._feeds, None)
        return dict(feed) if feed is not None else None


@contextlib.contextmanager
def _prepared(model: ModelProto, precision: str) -> Iterator[Path]:
    """The graph with its shapes inferred and batch normalisations folded into convolutions, as the quantiser wants it.

    The quantiser logs, warns, and raises a dozen kinds of errors.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole, prepared = Path(folder) / "whole.onnx", Path(folder) / "prepared.onnx"
            onnx.save(model, whole)
            quant_pre_process(whole, prepared, skip_symbolic_shape=True)
            _tidy(prepared)
            yield prepared
    except GateError:
        raise
    except Exception as error:  # the quantiser's errors have no class in common
        raise GateError(
            f"this model has no {precision} form: {first_line(error)}", "export it with precision float32"
        ) from error
    finally:
        logger.setLevel(level)


def _tidy(path: Path) -> None:
    """Forget what ONNX Runtime's optimiser left: domains that no operator is of, and shapes inside the graph.

    The quantiser turns the weights of a Gemm around, finds the old shape written beside them, and gives up.
    """
    model = onnx.load(path)
    used = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:], model.graph.value_info[:]
    model.opset_import.extend(kept)
    onnx.save(model, path)
