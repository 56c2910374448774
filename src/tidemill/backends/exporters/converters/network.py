"""Torch modules to ONNX, through torch.export (https://docs.pytorch.org/docs/stable/onnx_export.html)."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tidemill.domain.bundle import Signature, TextPreprocessing
from tidemill.errors import GateError

if TYPE_CHECKING:
    from torch import nn

    from tidemill.domain.bundle import Preprocessing
    from tidemill.ports import Feed

OPSET = 20


@runtime_checkable
class NetworkSource(Protocol):
    """A source model whose `module` takes the signature's inputs in order and gives (scores, embedding)."""

    signature: Signature
    preprocessing: Preprocessing
    module: nn.Module

    def example(self) -> Feed:
        """A feed of two rows, for tracing."""


def convert_network(model: NetworkSource, path: Path) -> None:
    """Write `model` to `path`, its batch (and for text its length) of any size. Raises GateError."""
    import torch

    feed = model.example()
    names = [tensor.name for tensor in model.signature.inputs]
    model.module.eval()
    with _quiet():
        try:
            program = torch.onnx.export(
                model.module,
                tuple(torch.from_numpy(feed[name]) for name in names),
                dynamo=True,
                dynamic_shapes=dynamic_sizes(model),
                input_names=names,
                output_names=[tensor.name for tensor in model.signature.outputs],
                opset_version=OPSET,
                verbose=False,
            )
            assert program is not None
            _rename_inner(program.model.graph)
            program.save(path, external_data=False)
        except Exception as error:  # the exporter reports an operator it does not know by several classes
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise GateError(f"the network cannot be written as ONNX: {first[:300]}", "choose another model") from error


def dynamic_sizes(model: NetworkSource) -> tuple[dict[int, Any], ...]:
    """For each input the axes that may have any size: the batch, and for text the length."""
    from torch.export import Dim

    sizes = {0: Dim("batch")}
    if isinstance(model.preprocessing, TextPreprocessing):
        sizes[1] = Dim("length", max=model.preprocessing.max_length)
    return tuple(sizes for _ in model.signature.inputs)


def _rename_inner(graph: Any) -> None:
    """Give values inside the graph that are called as an output is another name: the exporter lets them clash."""
    outputs = {value.name for value in graph.outputs}
    kept = {id(value) for value in graph.outputs}
    for node in graph:
        for value in node.outputs:
            if value.name in outputs and id(value) not in kept:
                value.name = f"{value.name}.inner"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter speaks of its own internals, on every channel there is."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
