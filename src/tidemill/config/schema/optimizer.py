"""Group `optimizer`: loss, optimizer and schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tidemill.config.schema.fields import bounded


@dataclass
class LossConfig:
    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = bounded(0.0, low=0, high=0.9)  # share of each label spread over all classes
    class_weights: Literal["none", "balanced"] = "none"  # balanced: rare classes count as much as frequent ones
    ignore_index: int = -100  # rows of this class (its position among the labels) do not count; nor do unlabelled rows


@dataclass
class SchedulerConfig:
    """How the rate goes over the optimizer's steps. With `trainer.freeze_epochs` both phases have a schedule each."""

    name: Literal["none", "one_cycle", "cosine", "linear", "exponential", "step", "plateau"] = "one_cycle"
    warmup: float = bounded(0.1, low=0, high=0.9)  # share of all steps in which the rate rises; step, plateau, none: 0
    warmup_steps: int = bounded(0, low=0)  # any schedule: so many steps instead; 0: as `warmup` says
    lowest: float = bounded(0.0, low=0, high=1)  # cosine, linear, exponential: share of the rate at the end
    restarts: int = bounded(0, low=0, high=100)  # cosine: how often it begins anew at the full rate
    step_epochs: int = bounded(5, low=1)  # step: epochs between two falls of the rate
    factor: float = bounded(0.3, above=0, high=1)  # step, plateau: what the rate is multiplied by
    patience: int = bounded(2, low=0)  # plateau: epochs without a better validation loss before the rate falls


@dataclass
class OptimizerConfig:
    """Group `optimizer`, with loss and scheduler."""

    name: Literal["adamw", "adam", "sgd", "nadam", "radam", "adamax", "rmsprop", "adagrad"] = "adamw"
    lr: float = bounded(3e-3, above=0, high=10)  # learning rate; with one_cycle the highest
    weight_decay: float = bounded(1e-2, low=0)  # of matrices and kernels; biases and normalisation keep their scale
    momentum: float = bounded(0.9, low=0, high=0.9999)  # sgd, rmsprop
    nesterov: bool = False  # sgd: look ahead (Sutskever et al., 2013); needs momentum
    beta1: float = bounded(0.9, low=0, high=0.9999)  # adam and its kin: decay of the mean of gradients
    beta2: float = bounded(0.999, low=0, high=0.999999)  # adam and its kin: decay of the mean of their squares
    loss: LossConfig = field(default_factory=LossConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
