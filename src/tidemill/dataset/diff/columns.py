"""The columns of two versions of a table side by side."""

from __future__ import annotations

import numpy as np

from tidemill.dataset.diff.records import ColumnDiff
from tidemill.dataset.profile import Profiler
from tidemill.dataset.read import PackedDataset

_BINS = 28
_CATEGORIES = 12


def compare_columns(old: PackedDataset, new: PackedDataset) -> tuple[ColumnDiff, ...]:
    """Every column of either version, in the new one's order, then those that are gone."""
    before, after = _profilers(old), _profilers(new)
    names = [*after, *(name for name in before if name not in after)]
    return tuple(_compare(name, before.get(name), after.get(name)) for name in names)


def _profilers(data: PackedDataset) -> dict[str, Profiler]:
    profilers = {column.name: Profiler(column.type) for column in data.version.columns}
    for split in data.version.splits:
        for batch in data.batches(split.name, list(profilers), rows=65_536):
            for name, profiler in profilers.items():
                profiler.add(batch.column(name))
    return profilers


def _compare(name: str, before: Profiler | None, after: Profiler | None) -> ColumnDiff:
    was, now = (each.describe() if each is not None else None for each in (before, after))
    sides = (was, now)
    samples = [each.sample if each is not None else np.empty(0) for each in (before, after)]
    drawn = [side is None or len(s) > 0 or side.rows == side.nulls for side, s in zip(sides, samples, strict=True)]
    if all(drawn) and any(len(sample) for sample in samples):
        low, high = np.quantile(np.concatenate(samples), [0.005, 0.995])
        if not high > low:
            low, high = low - 0.5, high + 0.5
        edges = np.linspace(low, high, _BINS + 1)
        counts = [np.histogram(sample.clip(low, high), edges)[0] / max(1, len(sample)) for sample in samples]
        one, other = (tuple(float(share) for share in each) for each in counts)
        return ColumnDiff(name, was, now, tuple(float(edge) for edge in edges), (one, other))
    tops = [dict(side.top) if side is not None else {} for side in sides]
    totals = [max(1, side.rows - side.nulls) if side is not None else 1 for side in sides]
    every = sorted({*tops[0], *tops[1]}, key=lambda value: -max(top.get(value, 0) for top in tops))[:_CATEGORIES]
    one, other = (tuple(top.get(v, 0) / total for v in every) for top, total in zip(tops, totals, strict=True))
    return ColumnDiff(name, was, now, tuple(every), (one, other))
