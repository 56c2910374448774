"""What two models' answers on the same rows say: a paired test, and floors for classes and slices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tidemill.domain.evidence import Check
from tidemill.errors import ConfigError
from tidemill.stages.statistics import Difference, bootstrap, mcnemar, paired_difference, wald_non_inferiority

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.config.schema import PromotionConfig

Metric = Literal["accuracy", "log_loss", "brier", "rmse", "mae"]
Part = Mapping[str, float | None]
"""A class or slice: its rows, and both figures on it."""

_DECISIONS: tuple[Metric, ...] = ("accuracy", "log_loss", "brier")
_VALUES: tuple[Metric, ...] = ("rmse", "mae")
_NAMED = 0.05
"""A class whose accuracy falls by more than this is named, whatever the floors say."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the paired test says: figures for the evidence, and the check that decides."""

    difference: Difference
    p_value: float
    only_challenger: int | None
    only_champion: int | None
    check: Check


def metric_of(kind: str, config: PromotionConfig) -> Metric:
    """The metric that decides. Raises ConfigError for one that this kind of model does not have."""
    fitting = _VALUES if kind == "regression" else _DECISIONS
    if config.metric == "auto":
        return fitting[0]
    if config.metric not in fitting:
        raise ConfigError(
            f"promotion.metric={config.metric} is no metric for {kind}", f"choose auto, {' or '.join(fitting)}"
        )
    return config.metric


def losses(
    metric: Metric, scores: NDArray[np.float32], truth: NDArray[np.int64] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """The loss of each row [N], lower is better: errors for "accuracy", squared errors for "rmse".

    `scores` is [N, C] with the positions of the right classes as `truth` (-1: a class that the model does not know),
    or [N, 1] with values. A probability of 0 counts as 1e-7, float32's resolution, in the logarithmic loss; Brier's
    score is the sum of squares over the classes (Brier, Monthly Weather Review 78, 1950).
    """
    if metric in _VALUES:
        errors = np.abs(scores[:, 0] - truth)
        return np.asarray(errors**2 if metric == "rmse" else errors, np.float64)
    if metric == "accuracy":
        return np.asarray(scores.argmax(axis=1) != truth, np.float64)
    positions = np.asarray(truth, np.int64)
    wanted = np.asarray(positions[:, None] == np.arange(scores.shape[1]), np.float64)
    if metric == "brier":
        return np.asarray(((scores - wanted) ** 2).sum(axis=1) + (positions < 0), np.float64)
    return np.asarray(-np.log(np.maximum((scores * wanted).sum(axis=1), 1e-7)), np.float64)


def figure(metric: Metric, found: NDArray[np.float64]) -> float:
    """The metric's value from the losses of rows."""
    mean = float(found.mean())
    return 1 - mean if metric == "accuracy" else float(np.sqrt(mean)) if metric == "rmse" else mean


def judge(metric: Metric, new: NDArray[np.float64], old: NDArray[np.float64], config: PromotionConfig) -> Verdict:
    """Whether the challenger, with the losses `new`, may take the place of the champion with `old` [N, the same rows].

    McNemar's exact test for decisions, the paired bootstrap for the other metrics; for "not worse" a Wald test of the
    paired difference, and the bootstrap against the margin.
    """
    if metric == "accuracy":
        return _by_decisions(new == 0, old == 0, config)
    return _by_losses(metric, new, old, config)


def _by_decisions(new: NDArray[np.bool_], old: NDArray[np.bool_], config: PromotionConfig) -> Verdict:
    b, c = int((new & ~old).sum()), int((old & ~new).sum())
    difference = paired_difference(b, c, len(new))
    detail = (
        f"accuracy {new.mean():.4f} against {old.mean():.4f}, difference {difference.value * 100:+.2f} points "
        f"[{difference.low * 100:+.2f}, {difference.high * 100:+.2f}], only one right: {b} against {c}"
    )
    if config.mode == "non_inferiority":
        p_value = wald_non_inferiority(b, c, len(new), config.margin)
        check = _decided("not worse", p_value, config.alpha, f"{detail}, margin {config.margin * 100:g} points")
    else:
        p_value = mcnemar(b, c)
        check = _decided("better", p_value, config.alpha, detail)
    return Verdict(difference, p_value, b, c, check)


def _by_losses(metric: Metric, new: NDArray[np.float64], old: NDArray[np.float64], config: PromotionConfig) -> Verdict:
    worse = config.mode == "non_inferiority"
    champion = figure(metric, old)
    margin = config.margin * champion if worse else 0.0
    difference, p_value = bootstrap(new, old, margin=margin, root=metric == "rmse")
    name = "error" if metric == "rmse" else metric.replace("_", " ")
    detail = (
        f"{name} {figure(metric, new):.5g} against {champion:.5g}, difference {difference.value:+.3g} "
        f"[{difference.low:+.3g}, {difference.high:+.3g}]"
    )
    if worse:
        detail += f", margin {margin:.3g}"
    check = _decided("not worse" if worse else "better", p_value, config.alpha, detail)
    return Verdict(difference, p_value, None, None, check)


def _decided(name: str, p_value: float, alpha: float, detail: str) -> Check:
    return Check(name, p_value < alpha, f"{detail}, p = {p_value:.3g}, below {alpha:g} is asked")


def parts_of(
    metric: Metric,
    masks: Mapping[str, NDArray[np.bool_]],
    new: NDArray[np.float64],
    old: NDArray[np.float64] | None,
) -> dict[str, dict[str, float | None]]:
    """Rows and both figures of each class or slice, given the rows [N] that belong to it; none for one without rows."""
    found: dict[str, dict[str, float | None]] = {}
    for name, rows in masks.items():
        some = bool(rows.any())
        found[name] = {
            "rows": float(rows.sum()),
            "challenger": figure(metric, new[rows]) if some else None,
            "champion": figure(metric, old[rows]) if some and old is not None else None,
        }
    return found


def accuracy_floors(name: str, parts: Mapping[str, Part], floor: float, config: PromotionConfig, least: int) -> Check:
    """No class or slice that the champion has at the floor or above is below it; none falls by more than allowed."""
    pairs = _pairs(parts, least)
    below = [part for part, (new, old) in pairs.items() if new < floor <= old]
    falls = sorted((new - old, part) for part, (new, old) in pairs.items() if old - new > _NAMED)
    deep = sorted((new - old, part) for part, (new, old) in pairs.items() if old - new > config.max_fall + 1e-12)
    thing = "class" if name == "classes" else "slice"
    said = [] if deep else [f"no {thing} that was at {floor:g} or above falls below it"]
    if below:
        said = [
            f"below {floor:g}: " + _listed(f"{part} ({pairs[part][1]:.3f} to {pairs[part][0]:.3f})" for part in below)
        ]
    if deep:
        said.append(f"falls by more than {config.max_fall * 100:g} points: {_points(deep)}")
    elif config.max_fall < 1:
        said.append(f"none falls by more than {config.max_fall * 100:g} points")
    if falls and not deep:
        said.append(f"falls: {_points(falls)}")
    return Check(name, not below and not deep, "; ".join(said + _unjudged(parts, pairs)))


def error_rises(parts: Mapping[str, Part], config: PromotionConfig) -> Check:
    """In no slice the error rises by more than the share that is allowed."""
    pairs = _pairs(parts, config.min_slice_rows)
    rises = sorted(((new / old - 1 if old else np.inf), part) for part, (new, old) in pairs.items() if new > old)
    high = [(rise, part) for rise, part in reversed(rises) if rise > config.max_fall + 1e-12]
    detail = f"in no slice the error rises by more than {config.max_fall:.0%}"
    if high:
        detail = f"the error rises by more than {config.max_fall:.0%}: " + _listed(
            f"{part} ({pairs[part][1]:.4g} to {pairs[part][0]:.4g})" for _, part in high
        )
    return Check("slices", not high, "; ".join([detail, *_unjudged(parts, pairs)]))


def _pairs(parts: Mapping[str, Part], least: int) -> dict[str, tuple[float, float]]:
    return {
        name: (row["challenger"], row["champion"])
        for name, row in parts.items()
        if row["challenger"] is not None and row["champion"] is not None and (row["rows"] or 0) >= least
    }


def _unjudged(parts: Mapping[str, Part], pairs: Mapping[str, tuple[float, float]]) -> list[str]:
    left = [f"{name} ({row['rows']:.0f})" for name, row in parts.items() if name not in pairs]
    return [f"too few rows to judge: {_listed(left)}"] if left else []


def _points(changes: Sequence[tuple[float, str]]) -> str:
    return _listed(f"{part} {change * 100:+.1f} points" for change, part in changes)


def _listed(texts: Iterable[str]) -> str:
    found = list(texts)
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
