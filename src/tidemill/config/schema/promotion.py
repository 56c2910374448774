"""What a promotion must pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tidemill.config.schema.fields import bounded


@dataclass
class PromotionConfig:
    """When a challenger may become champion."""

    metric: Literal["auto", "accuracy", "log_loss", "brier", "rmse", "mae"] = "auto"  # auto: accuracy; of values rmse
    alpha: float = bounded(0.05, above=0, high=0.5)  # level of the paired test, one-sided
    mode: Literal["superiority", "non_inferiority"] = "superiority"
    margin: float = bounded(0.01, low=0, high=1)  # non-inferiority only: how much worse may be; of a loss, its share
    min_score: float = bounded(0.0, high=1)  # accuracy; for regression R²
    class_floor: float = bounded(0.0, low=0, high=1)  # lowest accuracy of a class that the champion has at or above it
    slice_by: list[str] = field(default_factory=list)  # columns (or label) each value of which is a slice of the rows
    slices: dict[str, str] = field(default_factory=dict)  # name: condition, as  night: hour >= 22 or hour < 5
    slice_floor: float = bounded(0.0, low=0, high=1)  # as class_floor, for slices
    max_fall: float = bounded(1.0, low=0, high=1)  # of a class's or slice's accuracy; of an error its rise, as a share
    min_slice_rows: int = bounded(30, low=1)  # a smaller slice is shown and not judged
    max_size_mb: float = bounded(500.0, above=0)
    max_latency_ms: float = bounded(10_000.0, above=0)  # median of single requests, measured at the promotion
    max_slowdown: float = bounded(1000.0, above=0)  # latency as a multiple of the champion's
