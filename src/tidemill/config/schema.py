"""The typed schema of the configuration. Everything that is composed is checked against it before any work starts.

Field comments are the documentation of the settings; `tidemill train --help-config` prints them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class ImageInput:
    """How pictures are made ready."""

    height: int = 32
    width: int = 32
    mode: str = "RGB"  # "L" or "RGB"
    filter: str = "bilinear"  # a Pillow filter by name


@dataclass
class DataConfig:
    """Group `data`: which data set, which version, how it is read."""

    name: str
    version: str = "latest"
    image: ImageInput = field(default_factory=ImageInput)
    augment: str = "none"  # "none", "flip", "shift"


@dataclass
class ModelConfig:
    """Group `model`: `kind` names the architecture; `params` are that architecture's own, typed settings."""

    kind: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class LossConfig:
    name: str = "cross_entropy"
    label_smoothing: float = 0.0


@dataclass
class SchedulerConfig:
    name: str = "one_cycle"  # "none", "one_cycle", "cosine", "step", "plateau"
    warmup: float = 0.1  # share of all steps


@dataclass
class OptimizerConfig:
    """Group `optimizer`, with loss and scheduler."""

    name: str = "adamw"  # "adamw", "adam", "sgd"
    lr: float = 3e-3
    weight_decay: float = 1e-2
    momentum: float = 0.9  # sgd only
    loss: LossConfig = field(default_factory=LossConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)


@dataclass
class TrainerConfig:
    """Group `trainer`."""

    max_epochs: int = 10
    batch_size: int = 64
    accelerator: str = "auto"  # "auto", "cpu", "gpu"
    gradient_clip: float = 1.0
    deterministic: bool = True


@dataclass
class EarlyStoppingConfig:
    enabled: bool = True
    monitor: str = "val_loss"
    patience: int = 5


@dataclass
class CallbacksConfig:
    """Group `callbacks`."""

    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    checkpoint: bool = True
    lr_monitor: bool = True


@dataclass
class LoggerConfig:
    """Group `logger`: beside MLflow, which always keeps the run."""

    name: str = "mlflow"  # "mlflow", "csv"
    experiment: str = ""  # MLflow experiment; empty: the model's name
    system_metrics: bool = True


@dataclass
class PathsConfig:
    """Group `paths`: relative to the project."""

    state: str = ".tidemill"
    data: str = "data"


@dataclass
class ExportConfig:
    """The parity gate and what the bundle carries."""

    max_changed: float = 0.001  # share of test rows whose decision may change
    tolerance: float = 1e-3  # how far a golden answer may be off, per score
    golden_rows: int = 32
    reference_rows: int = 2000


@dataclass
class PromotionConfig:
    """When a challenger may become champion."""

    alpha: float = 0.05  # level of the paired test, one-sided
    mode: str = "superiority"  # "superiority", "non_inferiority"
    margin: float = 0.01  # non-inferiority only: how much worse may be
    min_score: float = 0.0  # accuracy; for regression R²
    class_floor: float = 0.0  # lowest accuracy of a class that the champion has at or above it
    max_size_mb: float = 500.0


@dataclass
class MonitorConfig:
    """What a report is made of."""

    level: float = 0.001  # false alarms per window, over all tests
    min_rows: int = 50  # below it nothing is tested
    window_rows: int = 5000  # the newest so many rows


@dataclass
class RetrainConfig:
    """The retrain policy."""

    max_drop: float = 0.05  # fall of accuracy below the reference that calls for a new model
    min_labels: int = 30  # below it labels do not decide
    on_drift: bool = True  # drift alone calls for a new model, when the estimate falls too
    cooldown_hours: float = 0.0  # after a retraining, so long none is decided


@dataclass
class Config:
    """The whole configuration."""

    name: str  # of the model
    task: str  # "image", "text", "tabular"
    data: DataConfig
    model: ModelConfig
    seed: int = 42
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    callbacks: CallbacksConfig = field(default_factory=CallbacksConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    promotion: PromotionConfig = field(default_factory=PromotionConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
