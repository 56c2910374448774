"""The typed schema of the configuration. Everything that is composed is checked against it before any work starts.

Field comments are the documentation of the settings; `tidemill train --help-config` prints them. A `Literal` lists what
is allowed, `bounded` gives a number its range (both ends allowed unless `above`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tidemill.config.schema.checks import ChecksConfig
from tidemill.config.schema.data import DataConfig, ImageInput
from tidemill.config.schema.export import ExportConfig
from tidemill.config.schema.fields import bounded
from tidemill.config.schema.model import ModelConfig
from tidemill.config.schema.optimizer import LossConfig, OptimizerConfig, SchedulerConfig
from tidemill.config.schema.promotion import PromotionConfig
from tidemill.config.schema.report import ReportConfig
from tidemill.config.schema.search import SearchConfig
from tidemill.config.schema.tracking import LoggerConfig, PathsConfig
from tidemill.config.schema.trainer import CallbacksConfig, EarlyStoppingConfig, TrainerConfig
from tidemill.config.schema.watching import MonitorConfig, RetrainConfig
from tidemill.domain.dataset import Task

__all__ = [
    "CallbacksConfig",
    "ChecksConfig",
    "Config",
    "DataConfig",
    "EarlyStoppingConfig",
    "ExportConfig",
    "ImageInput",
    "LoggerConfig",
    "LossConfig",
    "ModelConfig",
    "MonitorConfig",
    "OptimizerConfig",
    "PathsConfig",
    "PromotionConfig",
    "ReportConfig",
    "RetrainConfig",
    "SchedulerConfig",
    "SearchConfig",
    "TrainerConfig",
    "bounded",
]


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
    report: ReportConfig = field(default_factory=ReportConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
