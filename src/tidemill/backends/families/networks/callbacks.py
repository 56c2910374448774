"""Lightning's callbacks that Tidemill adds: metrics to the reporter, and checkpoints without pickle."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

    from tidemill.backends.families.networks.module import Training
    from tidemill.ports import Reporter


class Report(Callback):
    """Hands each epoch's metrics, its seconds and the learning rate to a Reporter, and the steps as progress."""

    def __init__(self, report: Reporter, *, learning_rate: bool) -> None:
        self._report, self._learning_rate = report, learning_rate
        self._started = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        epochs, steps = trainer.max_epochs or 1, int(trainer.num_training_batches)
        done = trainer.current_epoch * steps + batch_idx + 1
        self._report.progress(done, epochs * steps, f"epoch {trainer.current_epoch + 1}/{epochs}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        metrics["epoch_seconds"] = time.monotonic() - self._started
        if self._learning_rate:
            metrics["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        self._report.metrics(metrics, trainer.current_epoch + 1)


class Checkpoints(Callback):
    """Keeps the weights of the best epoch and of the last one in `folder`, as safetensors."""

    def __init__(self, folder: Path, monitor: str) -> None:
        self._monitor, self._sign = monitor, -1 if monitor.endswith("accuracy") else 1
        self._best = math.inf
        self.best, self.last = folder / "best.safetensors", folder / "last.safetensors"
        folder.mkdir(parents=True, exist_ok=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Training) -> None:  # type: ignore[override]  # it is ours
        weights = {name: each.contiguous() for name, each in pl_module.graph.state_dict().items()}
        save_file(weights, self.last)
        value = trainer.callback_metrics.get(self._monitor)
        if value is not None and self._sign * float(value) < self._best:
            self._best = self._sign * float(value)
            save_file(weights, self.best)

    def restore(self, module: Training) -> None:
        """Give `module` its best weights; without validation the last ones are all there is."""
        if self.best.is_file():
            module.graph.load_state_dict(load_file(self.best))
