"""Groups `logger` and `paths`: who hears of a run, and where things lie."""

from __future__ import annotations

from dataclasses import dataclass, field

from tidemill.config.schema.fields import bounded


@dataclass
class LoggerConfig:
    """Group `logger`: beside MLflow, which always keeps the run. docs/tracking.md says more."""

    name: str = "mlflow"  # mlflow, csv, tensorboard, wandb, or another's key: that one too, in .tidemill/KEY
    beside: list[str] = field(default_factory=list)  # further ones: [tensorboard,csv]
    experiment: str = ""  # MLflow experiment; empty: the model's name
    artifacts: str = ""  # where a new experiment keeps artefacts: s3://BUCKET/FOLDER; empty: .tidemill/artifacts
    system_metrics: bool = True  # track the use of CPU, memory, disk and GPU
    wait: float = bounded(120.0, low=0, high=86_400)  # seconds to wait for an absent tracking server before registering


@dataclass
class PathsConfig:
    """Group `paths`: relative to the project; for use in other settings as ${paths.…}."""

    pretrained: str = "pretrained"  # where pretrained weights lie
    scratch: str = ".tidemill/staging"  # where the trials of a search keep what they write
