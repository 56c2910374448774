"""The best epoch: whose weights are kept, and after how many worse ones training ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tidemill.config.schema import EarlyStoppingConfig


class Watch:
    """Watches `settings.monitor`; with `keep` it holds the best epoch's weights on the CPU.

    `epoch` is the best one, counted from 1; 0 before there is any.
    """

    def __init__(self, settings: EarlyStoppingConfig, *, keep: bool) -> None:
        self._settings, self._keep = settings, keep
        self._sign = -1 if settings.monitor.endswith("accuracy") else 1
        self._best, self._waited, self.epoch = math.inf, 0, 0
        self.weights: dict[str, Tensor] = {}

    def see(self, epoch: int, metrics: dict[str, float], graph: nn.Module) -> bool:
        """Whether training is to end after `epoch`, whose weights `graph` has."""
        value = metrics.get(self._settings.monitor)
        if value is None:
            return False
        if self._sign * value < self._best:
            self._best, self._waited, self.epoch = self._sign * value, 0, epoch
            if self._keep:
                self.weights = copied(graph)
            return False
        self._waited += 1
        lost = not math.isfinite(value) or self._waited >= self._settings.patience
        return self._settings.enabled and lost

    def told(self, epoch: int) -> str:
        """Why training ends after `epoch`, and what becomes of its weights."""
        why = f"{self._settings.monitor} no better for {self._waited} epoch{'s' * (self._waited > 1)}"
        kept = f"; weights of epoch {self.epoch}" if self._keep and self.epoch else ""
        return f"stopped after epoch {epoch}: {why}{kept}"

    def state(self) -> dict[str, Any]:
        """As plain values; the weights are apart."""
        return {"best": self._best, "waited": self._waited, "epoch": self.epoch}

    def restore(self, state: dict[str, Any], weights: dict[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self._best, self._waited, self.epoch = state["best"], state["waited"], state["epoch"]
        self.weights = weights


@torch.no_grad()
def copied(graph: nn.Module) -> dict[str, Tensor]:
    """The weights and buffers of `graph`, copied to the CPU, in rows."""
    return {name: each.detach().to("cpu", copy=True).contiguous() for name, each in graph.state_dict().items()}
