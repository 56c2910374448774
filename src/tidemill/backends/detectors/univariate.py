"""One test a column: Kolmogorov-Smirnov for numbers, chi-squared for categories, on inputs and on answers.

The level is held over all tests of a report by Holm's step-down procedure (Holm 1979, "A simple sequentially
rejective multiple test procedure"), which needs no independence between columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tidemill.domain.drift import DriftTest
from tidemill.ports import Sample

KS, CHI_SQUARED, FISHER = "Kolmogorov-Smirnov", "chi-squared", "Fisher exact"
MIN_EXPECTED = (
    5.0  # rarer categories are counted together: below it the chi-squared tail is not to be trusted (Cochran)
)
Outcome = tuple[str, str, float, float]  # feature, method, statistic, p-value


class UnivariateDetector:
    """Says which column moved: of the inputs of a table, the confidence and class (or the value) of every answer."""

    def compare(self, reference: Sample, window: Sample, *, level: float, seed: int) -> list[DriftTest]:
        """One test per column and answer; `seed` is not used, nothing here is drawn."""
        outcomes = [*_answers(reference.scores, window.scores)]
        for name in reference.columns.keys() & window.columns.keys():
            outcomes += _column(name, reference.columns[name], window.columns[name])
        outcomes.sort()
        levels = holm([p for *_, p in outcomes], level)
        return [DriftTest(*outcome, at) for outcome, at in zip(outcomes, levels, strict=True)]


def holm(p_values: Sequence[float], level: float) -> list[float]:
    """The level that each p-value is compared with, so that `p < level` is Holm's verdict on it."""
    levels = [level] * len(p_values)
    strictest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        if strictest == 0.0:
            levels[index] = level / (len(p_values) - rank)
            if p_values[index] >= levels[index]:
                strictest = levels[index]
        else:
            levels[index] = strictest
    return levels


def _answers(reference: NDArray[np.float32], window: NDArray[np.float32]) -> Iterator[Outcome]:
    if reference.shape[1] == 1:
        yield from _numbers("value", reference[:, 0], window[:, 0])
        return
    yield from _numbers("confidence", reference.max(axis=1), window.max(axis=1))
    yield _categories("predicted class", reference.argmax(axis=1), window.argmax(axis=1))


def _column(name: str, reference: NDArray[Any], window: NDArray[Any]) -> Iterator[Outcome]:
    if reference.dtype.kind in "fiu" and window.dtype.kind in "fiu":
        yield from _numbers(name, reference, window)
    else:
        yield _categories(name, reference.astype(str), window.astype(str))


def _numbers(name: str, reference: NDArray[Any], window: NDArray[Any]) -> Iterator[Outcome]:
    """Present values by their distribution; absent ones (NaN) by their share."""
    present = [values[np.isfinite(values)] for values in (reference, window)]
    if len(present[0]) < len(reference) or len(present[1]) < len(window):
        yield _categories(f"{name} missing", ~np.isfinite(reference), ~np.isfinite(window))
    if len(present[0]) and len(present[1]):
        result = stats.ks_2samp(*present, method="asymp")
        yield name, KS, float(result.statistic), float(result.pvalue)


def _categories(name: str, reference: NDArray[Any], window: NDArray[Any]) -> Outcome:
    """Pearson's test of a 2 x K table; categories too rare for it are one category, see `_pooled`.

    Two columns of which one is still too rare are tested by Fisher's exact test. Its statistic is the difference
    between the shares of a column (the odds ratio may be infinite).
    """
    values, codes = np.unique(np.concatenate([reference, window]), return_inverse=True)
    counts = np.stack([np.bincount(part, minlength=len(values)) for part in np.split(codes, [len(reference)])])
    smaller = min(len(reference), len(window)) / len(codes)
    table = _pooled(counts, smaller)
    if table.shape[1] < 2:
        return name, CHI_SQUARED, 0.0, 1.0
    if table.sum(axis=0).min() * smaller < MIN_EXPECTED:
        shares = table[:, 0] / table.sum(axis=1)
        return name, FISHER, float(abs(shares[0] - shares[1])), float(stats.fisher_exact(table).pvalue)
    result = stats.chi2_contingency(table, correction=False)
    return name, CHI_SQUARED, float(result.statistic), float(result.pvalue)


def _pooled(counts: NDArray[np.int64], smaller: float) -> NDArray[np.int64]:
    """The int64 [2, K] `counts` with rare categories in one column, the last; `smaller` is the smaller sample's share.

    When even that column is too rare, it joins the rarest other one, unless this would leave a single column.
    """
    rare = counts.sum(axis=0) * smaller < MIN_EXPECTED
    kept, lump = counts[:, ~rare], counts[:, rare].sum(axis=1)
    if lump.sum() * smaller < MIN_EXPECTED and kept.shape[1] > 1:
        kept[:, kept.sum(axis=0).argmin()] += lump
        return kept
    return np.column_stack([kept, lump]) if lump.any() else kept


if TYPE_CHECKING:
    from tidemill.ports import Detector

    _: Detector = UnivariateDetector()
