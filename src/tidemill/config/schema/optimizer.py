"""Group `optimizer`: loss, optimizer and schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tidemill.config.schema.fields import bounded


@dataclass
class LossConfig:
    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = bounded(0.0, low=0, high=0.9)  # share of each label spread over all classes


@dataclass
class SchedulerConfig:
    name: Literal["none", "one_cycle", "cosine", "step", "plateau"] = "one_cycle"
    warmup: float = bounded(0.1, low=0, high=0.9)  # one_cycle, cosine: share of all steps in which the rate rises
    step_epochs: int = bounded(5, low=1)  # step: epochs between two falls of the rate
    factor: float = bounded(0.3, above=0, high=1)  # step, plateau: what the rate is multiplied by
    patience: int = bounded(2, low=0)  # plateau: epochs without a better validation loss before the rate falls


@dataclass
class OptimizerConfig:
    """Group `optimizer`, with loss and scheduler."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = bounded(3e-3, above=0, high=10)  # learning rate; with one_cycle the highest
    weight_decay: float = bounded(1e-2, low=0)
    momentum: float = bounded(0.9, low=0, high=0.9999)  # sgd only
    loss: LossConfig = field(default_factory=LossConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
