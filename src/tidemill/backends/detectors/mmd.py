"""Maximum mean discrepancy of embeddings, with a permutation test: sees changes that no single column shows.

Gretton, Borgwardt, Rasch, Schölkopf, Smola 2012, "A Kernel Two-Sample Test", JMLR 13: the unbiased statistic (their
equation 3), a Gaussian kernel with the median heuristic (section 8), the null distribution by permutation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tidemill.domain.drift import DriftTest
from tidemill.ports import Sample

MAX_ROWS = 1000  # of each side, drawn at random beyond it: the kernel matrix grows with the square
PERMUTATIONS = 1000  # at least; more only while the verdict is open
MAX_PERMUTATIONS = 50_000  # so no level below 2e-5 can be reached
BATCH = 500
Matrix = NDArray[np.float32]


class MmdDetector:
    """Says whether the embeddings of the window come from where those of the reference came from."""

    def compare(self, reference: Sample, window: Sample, *, level: float, seed: int) -> list[DriftTest]:
        """One test, 'embedding', or none where the model has no embedding."""
        rng = np.random.default_rng(seed)
        first, second = _draw(reference.embedding, rng), _draw(window.embedding, rng)
        if first.shape[1] == 0 or min(len(first), len(second)) < 2:
            return []
        kernel = gaussian_kernel(np.concatenate([first, second]))
        statistic, p_value = permutation_test(kernel, len(first), level=level, rng=rng)
        return [DriftTest("embedding", "MMD", statistic, p_value, level)]


def _draw(rows: Matrix, rng: np.random.Generator) -> Matrix:
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) <= MAX_ROWS:
        return rows
    return rows[np.sort(rng.choice(len(rows), MAX_ROWS, replace=False))]


def gaussian_kernel(rows: Matrix) -> Matrix:
    """exp(-|x - y|^2 / 2 s^2) of all pairs, s the median distance; float32 [N, N] with a zero diagonal."""
    centred = rows.astype(np.float32) - rows.mean(axis=0, dtype=np.float32)
    squares = np.einsum("ij,ij->i", centred, centred)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * centred @ centred.T, 0)
    median = float(np.median(distances[np.triu_indices(len(rows), 1)]))
    kernel: Matrix = np.exp(distances / np.float32(-2 * (median or 1.0)))
    np.fill_diagonal(kernel, 0)
    return kernel


def permutation_test(kernel: Matrix, first: int, *, level: float, rng: np.random.Generator) -> tuple[float, float]:
    """Unbiased MMD^2 of the first `first` rows against the others, and its p-value, (1 + exceeded) / (1 + drawn).

    Permutations go on until 4 / level of them are drawn, or so many exceed the statistic that the p-value can no
    longer fall below `level`: stopping then changes no verdict.
    """
    total = len(kernel)
    observed = float(_mmd(kernel, np.arange(total)[:, None] < first)[0])
    wanted = int(min(max(PERMUTATIONS, np.ceil(4 / level)), MAX_PERMUTATIONS))
    drawn = exceeded = 0
    while drawn < wanted and (drawn < PERMUTATIONS or exceeded + 1 < level * (wanted + 1)):
        batch = min(BATCH, wanted - drawn)
        order = rng.random((total, batch), dtype=np.float32).argpartition(first, axis=0)
        member = np.zeros((total, batch), dtype=bool)
        np.put_along_axis(member, order[:first], True, axis=0)
        exceeded += int((_mmd(kernel, member) >= observed - 1e-9).sum())
        drawn += batch
    return observed, (1 + exceeded) / (1 + drawn)


def _mmd(kernel: Matrix, member: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Unbiased MMD^2 for each column of `member` [N, B], which marks the rows of the first sample."""
    first = int(member[:, 0].sum())
    second = len(kernel) - first
    marks = member.astype(np.float32)
    everything = float(kernel.sum(dtype=np.float64))
    to_first = kernel @ marks
    within_first = np.einsum("ij,ij->j", to_first, marks, dtype=np.float64)
    from_first = kernel.sum(axis=1, dtype=np.float64) @ marks
    across = from_first - within_first
    within_second = everything - within_first - 2 * across
    mmd: NDArray[np.float64] = (
        within_first / (first * (first - 1)) + within_second / (second * (second - 1)) - 2 * across / (first * second)
    )
    return mmd


if TYPE_CHECKING:
    from tidemill.ports import Detector

    _: Detector = MmdDetector()
