"""The LightningModule: loss, metrics, optimizer and schedule of any graph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.backends.families.networks.graphs import Graph
    from tidemill.config.schema import OptimizerConfig, SchedulerConfig


class Training(LightningModule):
    """Trains `graph` on batches of (inputs, targets); logs loss and accuracy of training and validation, per epoch."""

    def __init__(self, graph: Graph, optimizer: OptimizerConfig, *, epochs: int, steps: int) -> None:
        super().__init__()
        self.graph = graph
        self.settings = optimizer
        self.epochs, self.steps = epochs, steps
        self._sums = torch.zeros(3, dtype=torch.float64)  # of loss and hits, and the number of rows

    def training_step(self, batch: tuple[tuple[Tensor, ...], Tensor], _: int) -> Tensor:
        inputs, targets = batch
        logits, _embedding = self.graph.logits(*inputs)
        loss = cross_entropy(logits, targets, label_smoothing=self.settings.loss.label_smoothing)
        self._count(loss.detach(), logits.detach(), targets)
        return loss

    def validation_step(self, batch: tuple[tuple[Tensor, ...], Tensor], _: int) -> None:
        inputs, targets = batch
        logits, _embedding = self.graph.logits(*inputs)
        self._count(cross_entropy(logits, targets), logits, targets)

    def on_validation_epoch_start(self) -> None:
        self._close("train")

    def on_validation_epoch_end(self) -> None:
        self._close("val")

    def on_train_epoch_end(self) -> None:
        self._close("train")

    def _count(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        hits = (logits.argmax(1) == targets).sum()
        rows = len(targets)
        self._sums = self._sums.to(logits.device)
        self._sums += torch.stack((loss.double() * rows, hits.double(), hits.new_tensor(rows).double()))

    def _close(self, split: str) -> None:
        """Log the means since the last call under the name of `split`; Lightning calls validation within an epoch."""
        loss, hits, rows = self._sums.tolist()
        self._sums.zero_()
        if rows:
            self.trainer.callback_metrics[f"{split}_loss"] = torch.tensor(loss / rows)
            self.trainer.callback_metrics[f"{split}_accuracy"] = torch.tensor(hits / rows)

    def configure_optimizers(self) -> Any:
        optimizer = _optimizer(self.graph, self.settings)
        settings = self.settings.scheduler
        if settings.name == "none":
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self._schedule(optimizer, settings)}

    def _schedule(self, optimizer: torch.optim.Optimizer, settings: SchedulerConfig) -> dict[str, Any]:
        schedulers = torch.optim.lr_scheduler
        total = max(1, self.epochs * self.steps)
        match settings.name:
            case "one_cycle":
                # OneCycleLR divides by the steps of each phase: neither may be empty
                start = min(max(settings.warmup, 1.5 / total), 1 - 1.5 / total) if total > 3 else 0.5
                one_cycle = schedulers.OneCycleLR(
                    optimizer, self.settings.lr, total_steps=max(total, 4), pct_start=start, cycle_momentum=False
                )
                return {"scheduler": one_cycle, "interval": "step"}
            case "cosine":
                rise = round(settings.warmup * total)

                def rate(step: int) -> float:
                    if step < rise:
                        return (step + 1) / (rise + 1)
                    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))

                return {"scheduler": schedulers.LambdaLR(optimizer, rate), "interval": "step"}
            case "plateau":
                plateau = schedulers.ReduceLROnPlateau(optimizer, factor=settings.factor, patience=settings.patience)
                return {"scheduler": plateau, "interval": "epoch", "monitor": "val_loss", "strict": False}
            case _:
                step = schedulers.StepLR(optimizer, settings.step_epochs, settings.factor)
                return {"scheduler": step, "interval": "epoch"}


def _optimizer(graph: Graph, settings: OptimizerConfig) -> torch.optim.Optimizer:
    """Weight decay on matrices and kernels only: biases and normalisation keep their scale."""
    wide = [each for each in graph.parameters() if each.requires_grad and each.ndim > 1]
    narrow = [each for each in graph.parameters() if each.requires_grad and each.ndim <= 1]
    groups = [{"params": wide, "weight_decay": settings.weight_decay}, {"params": narrow, "weight_decay": 0.0}]
    match settings.name:
        case "sgd":
            return torch.optim.SGD(groups, settings.lr, momentum=settings.momentum)
        case "adam":
            return torch.optim.Adam(groups, settings.lr)
        case _:
            return torch.optim.AdamW(groups, settings.lr)
