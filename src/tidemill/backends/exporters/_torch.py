"""What TorchScript and torch.export have in common: a module, its example, and a session over what was read back."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.backends.exporters.converters.network import NetworkSource
from tidemill.errors import GateError, first_line
from tidemill.ports import Scored

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.ports import Feed, SourceModel


class TorchSession:
    """A module that was read back. `run` may be called from several threads."""

    def __init__(self, module: Callable[..., Any], inputs: Sequence[str]) -> None:
        self._module, self._inputs = module, inputs

    def run(self, feed: Feed) -> Scored:
        """Raises GateError when the module fails on this batch."""
        import torch

        try:
            with torch.inference_mode():
                scores, embedding = self._module(*tensors(feed, self._inputs))
        except Exception as error:  # torch's errors have no class in common
            raise GateError(
                f"the exported module failed on a batch: {first_line(error)}", "export another format"
            ) from None
        return Scored(scores.numpy(), embedding.numpy())


def network(model: SourceModel, form: str) -> NetworkSource:
    """`model`, ready to be exported. Raises GateError, naming it, for one that is no torch module."""
    if not isinstance(model, NetworkSource):
        raise GateError(
            f"{type(model).__name__} has no {form} form: it is no torch module", "export it as ONNX, its own format"
        )
    model.module.eval()
    return model


def tensors(feed: Feed, names: Sequence[str]) -> tuple[Tensor, ...]:
    """The arrays of `feed` as tensors, in the order of `names`."""
    import torch

    return tuple(torch.from_numpy(np.ascontiguousarray(feed[name])) for name in names)


@contextlib.contextmanager
def converting(form: str) -> Iterator[None]:
    """Inside, warnings are silent and every error becomes a GateError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript's own deprecation, and what tracing says of every shape
            yield
    except Exception as error:  # as above
        raise GateError(
            f"the network cannot be written as {form}: {first_line(error)}", "choose another format"
        ) from error


def input_names(model: SourceModel) -> list[str]:
    """What the module takes, in order."""
    return [tensor.name for tensor in model.signature.inputs]
