"""Groups `trainer` and `callbacks`: how networks are trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tidemill.config.schema.fields import bounded


@dataclass
class ResumeConfig:
    """What `tidemill train --resume` goes on from after a kill: checkpoints in the run's own folder."""

    every_steps: int = bounded(0, low=0)  # optimizer steps between two; 0: each epoch, at most 5 % of the time
    every_seconds: float = bounded(60.0, low=0)  # within an epoch, too, after so long; 0: never
    keep: int = bounded(3, low=0)  # so many unfinished runs stay resumable, the newest; of grids: so many more


@dataclass
class TrainerConfig:
    """Group `trainer`: how networks are trained."""

    max_epochs: int = bounded(10, low=1, high=100_000)
    batch_size: int = bounded(64, low=1, high=1_000_000)  # rows per batch
    accumulate: int = bounded(1, low=1, high=10_000)  # batches per step of the optimizer and its schedule
    threads: int = bounded(0, low=0, high=1024)  # that compute; 0: one for each core this process may really use
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"  # "auto": the GPU if there is one
    precision: Literal["32", "bf16", "16"] = "32"  # of the computation, the weights stay float32; "16": on a GPU only
    channels_last: bool = False  # kernels in memory as pictures are; quicker on some machines
    gradient_clip: float = bounded(1.0, low=0)  # largest norm of the gradient; 0: no limit
    freeze_epochs: int = bounded(0, low=0, high=100_000)  # epochs in which only the head learns
    finetune_lr_factor: float = bounded(0.1, above=0, high=1)  # after freeze_epochs: what all rates are multiplied by
    ema_decay: float = bounded(0.0, low=0, high=0.99999)  # validate and keep this running mean of the weights; 0: off
    deterministic: bool = True  # the same seed gives the same weights, bit for bit (on CPU)
    digest_every: int = bounded(200, low=1)  # steps between two digests of the weights, besides each epoch's end
    resume: ResumeConfig = field(default_factory=ResumeConfig)


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
    summary: bool = True  # keep a table of the layers: summary.txt
