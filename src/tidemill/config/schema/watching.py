"""What a report is made of, and when a new model is called for."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.config.schema.fields import bounded


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
