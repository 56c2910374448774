"""Networks of a project's own: what they must take and give, found out before anything is trained.

For pictures a `torch.nn.Module` whose `forward` takes float32 [N, C, H, W], normalised, for sentences one that takes
`input_ids` and `attention_mask`, int64 [N, L] each; either gives logits [N, classes], or (logits, embedding [N, D]).
Where only logits are given, the embedding is what enters the last linear layer, if that layer makes the logits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tidemill.backends.families.imported import Imported, check_unchanged, imported, made, told
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.config.architectures import Own


class OwnNetwork(nn.Module):
    """A user's network as one that gives (logits, embedding); `head`, its last layer, is trained first."""

    def __init__(self, network: nn.Module, example: tuple[Tensor, ...], classes: int, path: str, code: Imported):
        super().__init__()
        self.network = network
        self.path, self.code = path, code
        self._last: nn.Linear | None = None
        self._pair = _gives_pair(self._tried(example), classes, path)
        self._name = _last_linear(network) or _last_with_weights(network)
        layer = network.get_submodule(self._name)
        if not self._pair and isinstance(layer, nn.Linear):
            self._cut_before(layer, example)
        with torch.no_grad():
            self.width = int(self.eval()(*example)[1].shape[1])
        self.train()

    @property
    def head(self) -> nn.Module:
        """The layer that makes the logits, as far as can be told."""
        return self.network.get_submodule(self._name) if self._last is None else self._last

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The user's inputs, to logits [N, classes] and embedding [N, D]."""
        given = self.network(*inputs)
        if self._pair:
            logits, embedding = given
            return logits, embedding
        if self._last is not None:
            return self._last(given), given
        return given, given

    def _cut_before(self, layer: nn.Linear, example: tuple[Tensor, ...]) -> None:
        """Take the last linear layer out of the network and call it here, if that gives the same logits."""
        before = self._tried(example)
        self._replace(nn.Identity())
        try:
            after = self._tried(example)
            fits = isinstance(after, torch.Tensor) and after.ndim == 2 and after.shape[1] == layer.in_features
            same = fits and torch.allclose(layer(after), before)
        except ConfigError:  # the forward reads the layer's own parts
            same = False
        if same:
            self._last = layer
        else:
            self._replace(layer)

    def _replace(self, by: nn.Module) -> None:
        parent, _, last = self._name.rpartition(".")
        setattr(self.network.get_submodule(parent), last, by)

    def _tried(self, example: tuple[Tensor, ...]) -> Any:
        self.network.eval()
        try:
            with torch.no_grad():
                return self.network(*example)
        except Exception as error:  # whatever the user's code raises
            raise ConfigError(f"{self.path}.forward: {told(error, self.code)}", "correct it") from None


def own_network(
    params: Own, example: tuple[Tensor, ...], shape: Mapping[str, int], root: Path, *, digest: str | None = None
) -> OwnNetwork:
    """The network at `params.path` for inputs like `example`; `shape` goes to its constructor by the names it has.

    `digest`: that of the code which a saved model needs. Raises ConfigError when it is no such network, StateError
    when the code is not that of `digest`.
    """
    code = imported(params.path, root) if digest is None else check_unchanged(params.path, root, digest)
    network = made(code, params.path, {**_asked_for(code.make, shape), **params.settings})
    if not isinstance(network, nn.Module):
        raise ConfigError(
            f"model.params.path: {params.path} makes a {type(network).__name__}, not a torch.nn.Module",
            "name a class derived from torch.nn.Module",
        )
    if not any(each.requires_grad for each in network.parameters()):
        raise ConfigError(f"model.params.path: {params.path} has nothing to train", "give it layers with weights")
    return OwnNetwork(network, example, shape["classes"], params.path, code)


def _asked_for(make: Callable[..., Any], shape: Mapping[str, int]) -> dict[str, int]:
    try:
        names = inspect.signature(make).parameters
    except (TypeError, ValueError):
        return {}
    return {name: value for name, value in shape.items() if name in names}


def _gives_pair(given: Any, classes: int, path: str) -> bool:
    pair = isinstance(given, tuple | list) and len(given) == 2
    logits = given[0] if pair else given
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
        what = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ConfigError(
            f"{path}.forward gives {what} for two rows; the data has {classes} classes, so it must be [2, {classes}]",
            "return logits [N, classes]; a constructor that takes `classes` is told their number",
        )
    if pair and not (isinstance(given[1], torch.Tensor) and given[1].ndim == 2):
        raise ConfigError(f"{path}.forward: the second of the pair is no embedding [N, D]", "return it flattened")
    return pair


def _last_linear(network: nn.Module) -> str:
    """The name of `head` where that is a linear layer, or of the last linear layer; empty when there is none."""
    linear = [name for name, each in network.named_modules() if isinstance(each, nn.Linear) and name]
    return "head" if "head" in linear else linear[-1] if linear else ""


def _last_with_weights(network: nn.Module) -> str:
    """The name of the last layer that has weights of its own; empty for the network itself."""
    names = [name for name, each in network.named_modules() if any(True for _ in each.parameters(recurse=False))]
    return str(names[-1])
