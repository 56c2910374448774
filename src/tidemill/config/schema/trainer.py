"""Groups `trainer` and `callbacks`: how networks are trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tidemill.config.schema.fields import bounded


@dataclass
class TrainerConfig:
    """Group `trainer`: how networks are trained."""

    max_epochs: int = bounded(10, low=1, high=100_000)
    batch_size: int = bounded(64, low=1, high=1_000_000)  # rows per step
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"  # "auto": the GPU if there is one
    gradient_clip: float = bounded(1.0, low=0)  # largest norm of the gradient; 0: no limit
    deterministic: bool = True  # the same seed gives the same weights, bit for bit (on CPU)


@dataclass
class EarlyStoppingConfig:
    enabled: bool = True
    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    patience: int = bounded(5, low=1)  # epochs without improvement before training ends


@dataclass
class CallbacksConfig:
    """Group `callbacks`."""

    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    checkpoint: bool = True  # keep the best and the last weights, and end with the best
    lr_monitor: bool = True  # track the learning rate
