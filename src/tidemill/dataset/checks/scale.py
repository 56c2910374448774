"""Columns whose numbers are a multiple of what they were: another unit, another tariff.

Two signs, both needing agreement that drift alone does not give: every quantile from 5 % to 95 % is the same multiple
(within 5 %) of what it was, 1.5 times or more; or the one value that at least half of all rows hold is another one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.profile import QUANTILES, ColumnProfile
from tidemill.domain.dataset import Column

_RATIO, _SPREAD, _USUAL = 1.5, 0.05, 0.5


def check_scale(columns: Sequence[Column], inspection: Inspection) -> None:
    """Compare each column with its profile in the version before, where there is one."""
    found = {}
    for column in columns:
        before, now = inspection.before.get(column.name), inspection.columns[column.name]
        if before is not None and (words := _change(before, now)):
            found[column.name] = words
    if found:
        one = len(found) == 1
        inspection.add(
            "scale", len(found),
            f"{len(found)} column{' is' if one else 's are'} on another scale than before: "
            + "; ".join(f"{name} {words}" for name, words in found.items()),
            "if its unit changed, convert it; if the world did, a model trained on the old scale will be off",
            examples=(_both(name, inspection.before[name], inspection.columns[name]) for name in found),
            columns=found,
        )  # fmt: skip


def _change(before: ColumnProfile, now: ColumnProfile) -> str:
    was, is_ = _usual(before), _usual(now)
    if was is not None and is_ is not None and _differ(was, is_) and not (was.is_integer() and is_.is_integer()):
        return f"was usually {was:g}, is usually {is_:g}"
    return _multiple(before, now)


def _usual(profile: ColumnProfile) -> float | None:
    """The value that at least half of the rows hold, unless it is 0."""
    if not profile.top or profile.mean is None:
        return None
    value, rows = next(iter(profile.top.items()))
    return float(value) if float(value) and rows >= _USUAL * (profile.rows - profile.nulls) else None


def _differ(a: float, b: float) -> bool:
    return a * b < 0 or not 1 / _RATIO < a / b < _RATIO


def _multiple(before: ColumnProfile, now: ColumnProfile) -> str:
    if min(before.distinct, now.distinct) < 20 or not before.quantiles or not now.quantiles:
        return ""
    inner = slice(QUANTILES.index(0.05), QUANTILES.index(0.95) + 1)
    old, new = np.array(before.quantiles[inner]), np.array(now.quantiles[inner])
    if (old == 0).any() or (new == 0).any():
        return ""
    ratios = new / old
    middle = float(np.median(ratios))
    if middle <= 0 or 1 / _RATIO < middle < _RATIO or np.abs(ratios / middle - 1).max() > _SPREAD:
        return ""
    return f"is {middle:.3g} times what it was (median {old[2]:.4g}, now {new[2]:.4g})"


def _both(name: str, before: ColumnProfile, now: ColumnProfile) -> str:
    sides = [f"{_top(each)}; mean {each.mean or 0:.4g}, sd {each.sd or 0:.4g}" for each in (before, now)]
    return f"{name}: {sides[0]}  ->  {sides[1]}"


def _top(profile: ColumnProfile) -> str:
    present = max(1, profile.rows - profile.nulls)
    return ", ".join(f"{value} ({rows / present:.0%})" for value, rows in list(profile.top.items())[:3])
