"""What a promotion must pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tidemill.config.schema.fields import bounded


@dataclass
class PromotionConfig:
    """When a challenger may become champion."""

    alpha: float = bounded(0.05, above=0, high=0.5)  # level of the paired test, one-sided
    mode: Literal["superiority", "non_inferiority"] = "superiority"
    margin: float = bounded(0.01, low=0, high=1)  # non-inferiority only: how much worse may be
    min_score: float = bounded(0.0, high=1)  # accuracy; for regression R²
    class_floor: float = bounded(0.0, low=0, high=1)  # lowest accuracy of a class that the champion has at or above it
    max_size_mb: float = bounded(500.0, above=0)
