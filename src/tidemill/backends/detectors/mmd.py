"""Maximum mean discrepancy of embeddings, with a permutation test: sees changes that no single column shows.

Gretton, Borgwardt, Rasch, Schölkopf, Smola 2012, "A Kernel Two-Sample Test", JMLR 13: the unbiased statistic (their
equation 3), a Gaussian kernel with the median heuristic (section 8), the null distribution by permutation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tidemill.backends.detectors._permutation import Members, draw, permutation_test
from tidemill.domain.drift import DriftTest
from tidemill.ports import Sample

Matrix = NDArray[np.float32]


class MmdDetector:
    """Says whether the embeddings of the window come from where those of the reference came from."""

    def compare(self, reference: Sample, window: Sample, *, level: float, seed: int) -> list[DriftTest]:
        """One test, 'embedding', or none where the model has no embedding."""
        rng = np.random.default_rng(seed)
        first, second = draw(reference.embedding, rng), draw(window.embedding, rng)
        if first.shape[1] == 0 or min(len(first), len(second)) < 2:
            return []
        kernel = gaussian_kernel(np.concatenate([first, second]))
        value, p_value = permutation_test(
            lambda member: squared_mmd(kernel, member), len(first), len(second), level=level, rng=rng
        )
        return [DriftTest("embedding", "MMD", value, p_value, level)]


def gaussian_kernel(rows: Matrix) -> Matrix:
    """exp(-|x - y|^2 / 2 s^2) of all pairs, s the median distance; float32 [N, N] with a zero diagonal."""
    centred = rows.astype(np.float32) - rows.mean(axis=0, dtype=np.float32)
    squares = np.einsum("ij,ij->i", centred, centred)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * centred @ centred.T, 0)
    median = float(np.median(distances[np.triu_indices(len(rows), 1)]))
    kernel: Matrix = np.exp(distances / np.float32(-2 * (median or 1.0)))
    np.fill_diagonal(kernel, 0)
    return kernel


def squared_mmd(kernel: Matrix, member: Members) -> NDArray[np.float64]:
    """Unbiased MMD^2 for each column of `member` [N, B], from a kernel [N, N] with a zero diagonal."""
    first = int(member[:, 0].sum())
    second = len(kernel) - first
    marks = member.astype(np.float32)
    within_first = np.einsum("ij,ij->j", kernel @ marks, marks, dtype=np.float64)
    across = kernel.sum(axis=1, dtype=np.float64) @ marks - within_first
    within_second = kernel.sum(dtype=np.float64) - within_first - 2 * across
    means = within_first / (first * (first - 1)), within_second / (second * (second - 1)), across / (first * second)
    return np.asarray(means[0] + means[1] - 2 * means[2], np.float64)


if TYPE_CHECKING:
    from tidemill.ports import Detector

    _: Detector = MmdDetector()
