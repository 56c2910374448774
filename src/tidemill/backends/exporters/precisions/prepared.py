"""A graph as ONNX Runtime's quantiser wants it, and its errors as ours."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from tidemill.errors import GateError, first_line

if TYPE_CHECKING:
    from onnx import ModelProto


@contextlib.contextmanager
def prepared(model: ModelProto, precision: str) -> Iterator[Path]:
    """The graph with its shapes inferred and batch normalisations folded into convolutions.

    What goes wrong while it is quantised becomes a GateError: the quantiser logs, warns, and raises a dozen kinds of
    errors.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole, folded = Path(folder) / "whole.onnx", Path(folder) / "prepared.onnx"
            onnx.save(model, whole)
            quant_pre_process(whole, folded, skip_symbolic_shape=True)
            _tidy(folded)
            yield folded
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
