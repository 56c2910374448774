"""Groups `logger` and `paths`: who hears of a run, and where things lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
