"""The p-value of a two-sample statistic by permutation, with no more permutations than the verdict needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_ROWS = 1000  # of each side, drawn at random beyond it
PERMUTATIONS = 1000  # at least; more only while the verdict is open
MAX_PERMUTATIONS = 50_000  # so no level below 2e-5 can be reached
_BATCH = 500

Members = NDArray[np.bool_]
Statistic = Callable[[Members], NDArray[np.float64]]
"""From `[N, B]`, which marks the rows of the first sample in each of B divisions, to B values."""


def draw(rows: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """At most `MAX_ROWS` of the rows that are finite."""
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) <= MAX_ROWS:
        return rows
    return rows[np.sort(rng.choice(len(rows), MAX_ROWS, replace=False))]


def permutation_test(
    statistic: Statistic, first: int, second: int, *, level: float, rng: np.random.Generator
) -> tuple[float, float]:
    """The statistic of the first `first` of `first + second` rows against the others, and its one-sided p-value.

    p is (1 + exceeded) / (1 + drawn). Permutations go on until 4 / level of them are drawn, or so many exceed the
    observed value that p can no longer fall below `level`: stopping then changes no verdict.
    """
    total = first + second
    observed = float(statistic(np.arange(total)[:, None] < first)[0])
    wanted = int(min(max(PERMUTATIONS, np.ceil(4 / level)), MAX_PERMUTATIONS))
    drawn = exceeded = 0
    while drawn < wanted and (drawn < PERMUTATIONS or exceeded + 1 < level * (wanted + 1)):
        batch = min(_BATCH, wanted - drawn)
        order = rng.random((total, batch), dtype=np.float32).argpartition(first, axis=0)
        member = np.zeros((total, batch), dtype=bool)
        np.put_along_axis(member, order[:first], True, axis=0)
        exceeded += int((statistic(member) >= observed * (1 - 1e-9)).sum())
        drawn += batch
    return observed, (1 + exceeded) / (1 + drawn)
