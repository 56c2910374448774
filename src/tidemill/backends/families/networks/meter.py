"""The loss, and what is counted of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy, pad

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.config.schema import LossConfig


def loss_of(
    logits: Tensor, targets: Tensor, settings: LossConfig, *, smoothing: bool = True, weights: Tensor | None = None
) -> Tensor:
    """Cross entropy: the mean over rows that count, 0 when none does. `logits` [N, classes], `targets` int64 [N].

    `weights` float32 [classes or fewer] are what a row of each class counts; of classes beyond them it is 1.
    """
    share, targets = settings.label_smoothing if smoothing else 0.0, _marked(targets, settings)
    if weights is not None:
        weights = pad(weights.to(logits), (0, logits.shape[1] - len(weights)), value=1.0)
    total = cross_entropy(
        logits, targets, weights, ignore_index=settings.ignore_index, label_smoothing=share, reduction="sum"
    )  # fmt: skip
    return total / (targets != settings.ignore_index).sum().clamp(min=1)


def _marked(targets: Tensor, settings: LossConfig) -> Tensor:
    """Rows without a label, whose target is negative, bear the mark of those that do not count."""
    return targets.where(targets >= 0, settings.ignore_index)


def class_weights(targets: Tensor, settings: LossConfig) -> Tensor | None:
    """What a row of each class counts, as `settings` ask, with mean 1 over the rows `targets` int64 [N]; None: 1."""
    if settings.class_weights == "none":
        return None
    marked = _marked(targets, settings)
    counts = marked[marked != settings.ignore_index].bincount()
    present = counts > 0
    weights = counts.sum() / (present.sum() * counts.clamp(min=1))
    return weights.where(present, 1.0)


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
