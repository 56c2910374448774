"""How the number columns hang together: sees a change of correlations that leaves every column as it was.

The statistic is the largest standardised difference of a correlation of normal scores (van der Waerden) over all pairs
of columns; scores are taken within each sample, so that a shift of a column alone is none of its business. The null
distribution is by permutation, which holds the level for any number of dependent pairs (Westfall and Young 1993,
"Resampling-Based Multiple Testing": the distribution of the maximum).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tidemill.backends.detectors._permutation import Members, draw, permutation_test
from tidemill.domain.drift import DriftTest
from tidemill.ports import Sample

MAX_COLUMNS = 40  # the first so many: pairs grow with the square


class DependenceDetector:
    """Says which two columns changed their correlation, 'a ~ b', of all pairs the one that changed most."""

    def compare(self, reference: Sample, window: Sample, *, level: float, seed: int) -> list[DriftTest]:
        """One test over all pairs, or none where there are no two number columns that vary."""
        rng = np.random.default_rng(seed)
        names = _varying(reference, window)
        if len(names) < 2:
            return []
        first, second = (draw(np.column_stack([s.columns[n] for n in names]), rng) for s in (reference, window))
        if min(len(first), len(second)) < 2:
            return []
        left, right = np.triu_indices(len(names), 1)
        scores = np.concatenate([_normal_scores(first), _normal_scores(second)])
        products = scores[:, left] * scores[:, right]
        products = ((products - products.mean(axis=0)) / (products.std(axis=0) + 1e-9)).astype(np.float32)
        value, p_value = permutation_test(
            lambda member: _differences(products, member).max(axis=1), len(first), len(second), level=level, rng=rng
        )
        observed = _differences(products, np.arange(len(products))[:, None] < len(first))[0]
        pair = int(observed.argmax())
        feature = f"{names[left[pair]]} ~ {names[right[pair]]}"
        return [DriftTest(feature, "correlation", value, p_value, level)]


def _varying(reference: Sample, window: Sample) -> list[str]:
    """Number columns with more than one value on both sides, by name."""
    names = []
    for name in sorted(reference.columns.keys() & window.columns.keys()):
        sides = (reference.columns[name], window.columns[name])
        if all(side.dtype.kind in "fiu" and len(np.unique(side[np.isfinite(side)])) > 1 for side in sides):
            names.append(name)
    return names[:MAX_COLUMNS]


def _normal_scores(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Each column's mid-ranks as quantiles of the normal distribution, mean 0 and variance 1; [N, D]."""
    scores = np.empty(rows.shape, np.float64)
    for column in range(rows.shape[1]):
        _, codes, counts = np.unique(rows[:, column], return_inverse=True, return_counts=True)
        ranks = np.cumsum(counts) - counts / 2
        scores[:, column] = ndtri(ranks[codes] / len(rows))
    spread = scores.std(axis=0)
    return np.asarray((scores - scores.mean(axis=0)) / np.where(spread > 0, spread, 1.0), np.float64)


def _differences(products: NDArray[np.float32], member: Members) -> NDArray[np.float64]:
    """|difference of means| of each column of `products` [N, P], in standard errors, for each division: [B, P]."""
    first = int(member[:, 0].sum())
    second = len(products) - first
    sums = member.T.astype(np.float32) @ products
    difference = sums / first - (products.sum(axis=0) - sums) / second
    return np.asarray(np.abs(difference) / np.sqrt(1 / first + 1 / second), np.float64)


if TYPE_CHECKING:
    from tidemill.ports import Detector

    _: Detector = DependenceDetector()
