"""Group `search`: how `tidemill tune` looks for better settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tidemill.config.schema.fields import bounded


@dataclass
class SearchConfig:
    """Group `search`. It says nothing about a model, so no run records it."""

    metric: str = ""  # of validation: val_accuracy, val_loss, val_rmse, fit_seconds, trainable_params; several: a,b
    direction: str = "auto"  # minimize or maximize, one for each metric; "auto": as the metric's name says
    sampler: Literal["tpe", "random", "grid", "cmaes", "nsga2"] = "tpe"
    pruner: Literal["none", "median", "asha", "hyperband"] = "median"  # ends trials that fall behind; one metric only
    min_steps: int = bounded(0, low=0)  # epochs or trees before a trial may be pruned; 0: a tenth of the longest
    reduction: int = bounded(3, low=2, high=16)  # asha, hyperband: one trial in so many goes on at each rung
    trials: int = bounded(50, low=1, high=1_000_000)  # of the whole study; killed and started again, the rest is done
    timeout: float = bounded(0.0, low=0)  # seconds of one call of the command; 0: no limit
    target: str = ""  # a value of the metric that is good enough to stop
    workers: int = bounded(1, low=1, high=1024)  # processes that train side by side and share the cores
    seed: int = bounded(42, low=0, high=2**31 - 1)  # of the sampler
    points: int = bounded(5, low=2, high=1000)  # grid: values tried of an interval()
    register: bool = True  # at the end train with the best settings, test once, and register as challenger
    params: dict[str, Any] = field(default_factory=dict)  # setting: what to try, as range(2,9), interval(0.1,1), a,b
