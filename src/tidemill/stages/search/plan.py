"""What a study looks for, and where: objectives, space, and the digest by which it is known again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from tidemill.config.space import Choice, Dimension, rounded, size
from tidemill.domain.digest import Digest
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.config.schema import SearchConfig
    from tidemill.domain.dataset import Kind

Direction = Literal["minimize", "maximize"]
_MORE_IS_BETTER = ("accuracy", "f1", "auc", "r2", "mcc", "precision", "recall")
_LOOKED_AT = ("val_", "fit_seconds", "trainable_params")


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric of the validation split, or a cost, and which way is better."""

    metric: str
    direction: Direction

    def better(self, one: float, other: float) -> bool:
        """Whether `one` is strictly better than `other`."""
        return one > other if self.direction == "maximize" else one < other


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes a study this study: a trial's values can be compared with those of any other trial of it.

    `about` holds what every trial shares: settings, data version.
    """

    model: str
    objectives: tuple[Objective, ...]
    space: Mapping[str, Dimension]
    about: Mapping[str, Any]

    @property
    def digest(self) -> Digest:
        space = {name: [type(each).__name__, asdict(each)] for name, each in self.space.items()}
        return Digest.of_json({"objectives": [asdict(each) for each in self.objectives], "space": space,
                               "about": dict(self.about)})  # fmt: skip

    @property
    def points(self) -> int | None:
        """How many trials there can be, no two of them alike; None where a setting is continuous."""
        sizes = [size(each) for each in self.space.values()]
        return None if None in sizes else math.prod(each for each in sizes if each is not None)

    @property
    def name(self) -> str:
        """The study's name where none is given."""
        return f"{self.model}-{self.digest.hex[:8]}"


def objectives(search: SearchConfig, kind: Kind) -> tuple[Objective, ...]:
    """What `search.metric` and `search.direction` ask for. Raises ConfigError, also for a metric of the test split."""
    default = "val_rmse" if kind == "regression" else "val_accuracy"
    metrics = [each.strip() for each in (search.metric or default).split(",") if each.strip()]
    for metric in metrics:
        if not metric.startswith(_LOOKED_AT):
            raise ConfigError(
                f"search.metric={search.metric}: {metric!r} is no metric of validation",
                "choose val_accuracy, val_loss, val_rmse, fit_seconds or trainable_params; "
                "the test split stays unseen until the search is over",
            )
    asked = [each.strip() for each in search.direction.split(",")]
    if search.direction == "auto":
        asked = ["maximize" if any(word in metric for word in _MORE_IS_BETTER) else "minimize" for metric in metrics]
    if len(asked) != len(metrics) or len(set(metrics)) != len(metrics) or set(asked) - {"minimize", "maximize"}:
        raise ConfigError(
            f"search.direction={search.direction}: gives no direction for each of {', '.join(metrics)}",
            f"write {len(metrics)} of minimize and maximize, comma between, or auto",
        )
    return tuple(
        Objective(metric, "maximize" if each == "maximize" else "minimize")
        for metric, each in zip(metrics, asked, strict=True)
    )


def target(search: SearchConfig, sought: tuple[Objective, ...]) -> float | None:
    """The value that is good enough, or None. Raises ConfigError."""
    if not search.target:
        return None
    try:
        value = float(search.target)
    except ValueError:
        raise ConfigError(f"search.target={search.target!r} is no number", "give a value of the metric") from None
    if not math.isfinite(value):
        raise ConfigError(f"search.target={search.target} is no value to reach", "give a finite value of the metric")
    if len(sought) > 1:
        raise ConfigError("search.target needs one metric, and search.metric names several", "leave one of them out")
    return value


def external(found: Dimension, value: Any) -> Any:
    """A value of the dimension as Optuna keeps it: what is no number, text or switch, as text."""
    if isinstance(found, Choice) and not isinstance(value, str | int | float | bool | None):
        return repr(value)
    return value


def internal(found: Dimension, value: Any) -> Any:
    """The reverse of `external`."""
    if isinstance(found, Choice):
        return next((each for each in found.values if external(found, each) == value), value)
    return rounded(found, value)
