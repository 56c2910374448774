"""The loss, and what is counted of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.config.schema import LossConfig


def loss_of(logits: Tensor, targets: Tensor, settings: LossConfig, *, smoothing: bool = True) -> Tensor:
    """Cross entropy: the mean over rows that count, 0 when none does. `logits` [N, classes], `targets` int64 [N]."""
    share, targets = settings.label_smoothing if smoothing else 0.0, _marked(targets, settings)
    total = cross_entropy(
        logits, targets, ignore_index=settings.ignore_index, label_smoothing=share, reduction="sum"
    )  # fmt: skip
    return total / (targets != settings.ignore_index).sum().clamp(min=1)


def _marked(targets: Tensor, settings: LossConfig) -> Tensor:
    """Rows without a label, whose target is negative, bear the mark of those that do not count."""
    return targets.where(targets >= 0, settings.ignore_index)


class Meter:
    """Sums of loss and hits, and the number of rows that count, float64 [3] on the device of the logits."""

    def __init__(self, settings: LossConfig) -> None:
        self._settings = settings
        self.sums = torch.zeros(3, dtype=torch.float64)

    def count(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """A batch with the mean `loss` of its rows that count."""
        counts = _marked(targets, self._settings) != self._settings.ignore_index
        hits = ((logits.argmax(1) == targets) & counts).sum()
        rows = counts.sum().double()
        self.sums = self.sums.to(logits.device)
        self.sums += torch.stack((loss.detach().double() * rows, hits.double(), rows))

    def means(self) -> tuple[float, float] | None:
        """Loss and accuracy so far; None before the first row that counts."""
        loss, hits, rows = self.sums.tolist()
        return (loss / rows, hits / rows) if rows else None

    def close(self, split: str) -> dict[str, float]:
        """The means under the name of `split`, and begin anew."""
        means = self.means()
        self.sums.zero_()
        return {f"{split}_loss": means[0], f"{split}_accuracy": means[1]} if means else {}
