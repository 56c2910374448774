"""A running mean of the weights (Polyak and Juditsky, 1992): often better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

if TYPE_CHECKING:
    from torch import Tensor, nn


class Average:
    """mean <- d · mean + (1 - d) · weights after each step, with d = min(`decay`, (1 + n) / (10 + n)) at step n.

    Floating-point buffers (the statistics of batch norms) are averaged like the weights.
    """

    def __init__(self, graph: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = {name: each for name, each in graph.state_dict().items() if each.is_floating_point()}
        self.mean = {name: each.clone() for name, each in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After the optimizer's step number `step`, counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch's own
        blend(list(self.mean.values()), list(self._live.values()), step)

    def restore(self, mean: dict[str, Tensor]) -> None:
        """Go on from the mean that a checkpoint has."""
        for name, each in mean.items():
            self.mean[name].copy_(each)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block the graph has the mean as its weights."""
        with torch.no_grad():
            own = {name: each.clone() for name, each in self._live.items()}
            self._put(self.mean)
        try:
            yield
        finally:
            with torch.no_grad():
                self._put(own)

    def _put(self, weights: dict[str, Tensor]) -> None:
        for name, each in weights.items():
            self._live[name].copy_(each)
