"""The typed schema of the configuration. Everything that is composed is checked against it before any work starts.

Field comments are the documentation of the settings; `tidemill train --help-config` prints them. A `Literal` lists what
is allowed, `bounded` gives a number its range (both ends allowed unless `above`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tidemill.domain.dataset import Task


def bounded(default: Any, *, low: float | None = None, high: float | None = None, above: float | None = None) -> Any:
    """A dataclass field whose number must lie in [low, high], and be greater than `above`."""
    return field(default=default, metadata={"low": low, "high": high, "above": above})


@dataclass
class ImageInput:
    """How pictures are made ready."""

    height: int = bounded(0, low=0, high=1024)  # pixels; 0: as most pictures of the data set are, at most 224
    width: int = bounded(0, low=0, high=1024)
    mode: Literal["auto", "L", "RGB"] = "auto"  # "auto": grey when every picture looked at is grey
    filter: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"  # a Pillow filter by name


@dataclass
class DataConfig:
    """Group `data`: which data set, which version, how it is read."""

    name: str
    version: str = "latest"  # X.Y.Z or "latest"
    image: ImageInput = field(default_factory=ImageInput)
    augment: Literal["none", "flip", "shift"] = "none"  # training pictures only: mirrored, or moved by a few pixels


@dataclass
class ModelConfig:
    """Group `model`: `kind` names the architecture; `params` are that architecture's own, typed settings."""

    kind: str
    params: dict[str, Any] = field(default_factory=dict)  # see config/architectures.py


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


@dataclass
class LoggerConfig:
    """Group `logger`: beside MLflow, which always keeps the run."""

    name: Literal["mlflow", "csv"] = "mlflow"  # "csv": also .tidemill/csv/NAME/RUN/metrics.csv
    experiment: str = ""  # MLflow experiment; empty: the model's name
    system_metrics: bool = True  # track the use of CPU, memory and disk


@dataclass
class PathsConfig:
    """Group `paths`: relative to the project; for use in other settings as ${paths.…}."""

    pretrained: str = "pretrained"  # where pretrained weights lie
    scratch: str = ".tidemill/staging"  # where a running training keeps its checkpoints


@dataclass
class ExportConfig:
    """The parity gate and what the bundle carries."""

    max_changed: float = bounded(0.001, low=0, high=1)  # share of test rows whose decision may change
    tolerance: float = bounded(1e-3, above=0)  # how far a golden answer may be off, per score
    golden_rows: int = bounded(32, low=1, high=10_000)  # raw requests kept with their answers
    reference_rows: int = bounded(2000, low=1, high=1_000_000)  # rows kept for the monitor to compare with


@dataclass
class PromotionConfig:
    """When a challenger may become champion."""

    alpha: float = bounded(0.05, above=0, high=0.5)  # level of the paired test, one-sided
    mode: Literal["superiority", "non_inferiority"] = "superiority"
    margin: float = bounded(0.01, low=0, high=1)  # non-inferiority only: how much worse may be
    min_score: float = bounded(0.0, high=1)  # accuracy; for regression R²
    class_floor: float = bounded(0.0, low=0, high=1)  # lowest accuracy of a class that the champion has at or above it
    max_size_mb: float = bounded(500.0, above=0)


@dataclass
class MonitorConfig:
    """What a report is made of."""

    level: float = bounded(0.001, above=0, high=0.5)  # false alarms per window, over all tests
    min_rows: int = bounded(50, low=2)  # below it nothing is tested
    window_rows: int = bounded(5000, low=2)  # the newest so many rows


@dataclass
class RetrainConfig:
    """The retrain policy."""

    max_drop: float = bounded(0.05, low=0, high=1)  # fall of accuracy below the reference that calls for a new model
    min_labels: int = bounded(30, low=1)  # below it labels do not decide
    on_drift: bool = True  # with drift, an estimate below the reference calls for a new model
    cooldown_hours: float = bounded(0.0, low=0)  # after a retraining, so long none is decided


@dataclass
class Config:
    """The whole configuration."""

    name: str  # of the model
    task: Task
    data: DataConfig
    model: ModelConfig
    seed: int = bounded(42, low=0, high=2**31 - 1)  # of weights, order and augmentation
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    callbacks: CallbacksConfig = field(default_factory=CallbacksConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    promotion: PromotionConfig = field(default_factory=PromotionConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
