"""How far a figure may be off because the test rows are but a sample: 95 % confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]

RESAMPLES = 1000
GROUPS = 2000  # rows that are drawn together where there are more rows than this
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, by Wilson's score interval or by the percentiles of a bootstrap."""

    low: float
    high: float
    method: Literal["wilson", "bootstrap"]


class Margins(NamedTuple):
    """Of a confusion matrix, each [K]: rows that were right, rows of the class, rows that were taken for it."""

    hits: NDArray[np.float64]
    support: NDArray[np.float64]
    answered: NDArray[np.float64]


def wilson(hits: float, rows: float) -> Interval:
    """For a share of `rows` that are `hits` (Wilson, 1927); from 0 to 1 where there are no rows."""
    if rows <= 0:
        return Interval(0.0, 1.0, "wilson")
    share, spread = hits / rows, _Z * _Z / rows
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / rows + spread / (4 * rows)) / (1 + spread)
    return Interval(max(0.0, centre - half), min(1.0, centre + half), "wilson")


def bootstrap(terms: NDArray[np.float64], statistic: Statistic) -> Interval:
    """Percentile bootstrap of a figure that is a function of sums over rows.

    `terms` [N, T] holds what each row adds to each sum, `statistic` takes sums [R, T] and gives the figure [R]. Many
    rows are first summed in random groups, which are then drawn instead of them: as they are alike, the spread of the
    figure is the same.
    """
    random = np.random.default_rng(0)
    sums = _grouped(terms, random)
    drawn = (random.integers(0, len(sums), len(sums)) for _ in range(RESAMPLES))
    counts = np.stack([np.bincount(rows, minlength=len(sums)) for rows in drawn])
    return _percentiles(statistic(counts @ sums))


def bootstrap_confusion(
    confusion: NDArray[np.int64], figures: Mapping[str, Callable[[Margins], float]]
) -> dict[str, Interval]:
    """Percentile bootstrap of figures of a confusion matrix [K, K], the rows being what is true.

    The counts of its cells are drawn anew, as many as there are rows: the same draw as that of rows with replacement.
    """
    random = np.random.default_rng(0)
    classes, (truth, answer) = len(confusion), confusion.nonzero()
    held, right = confusion[truth, answer], truth == answer
    found: dict[str, list[float]] = {name: [] for name in figures}
    for _ in range(RESAMPLES):
        drawn = random.multinomial(held.sum(), held / held.sum()).astype(np.float64)
        sums = [
            np.bincount(place, each, classes)
            for place, each in ((truth, drawn * right), (truth, drawn), (answer, drawn))
        ]
        margins = Margins(*(each.astype(np.float64) for each in sums))
        for name, figure in figures.items():
            found[name].append(figure(margins))
    return {name: _percentiles(np.array(values)) for name, values in found.items()}


def _grouped(terms: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    if len(terms) <= GROUPS:
        return terms
    order = random.permutation(len(terms))
    edges = np.linspace(0, len(terms), GROUPS + 1).astype(np.int64)[:-1]
    return np.asarray(np.add.reduceat(terms[order], edges, axis=0))


def _percentiles(figures: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(figures, [2.5, 97.5])
    return Interval(float(low), float(high), "bootstrap")
