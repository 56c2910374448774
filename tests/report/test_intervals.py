"""Confidence intervals: against values that are known, and by how often they hold what is true."""

from __future__ import annotations

import numpy as np
import pytest

from tidemill.stages.evaluation.intervals import GROUPS, Margins, bootstrap, bootstrap_confusion, wilson


def test_wilson_agrees_with_worked_examples() -> None:
    found = wilson(81, 263)  # Newcombe (1998), table I
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20).low == 0.0
    assert wilson(0, 20).high == pytest.approx(0.1611, abs=1e-4)
    assert wilson(29, 29).high == 1.0
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


@pytest.mark.parametrize("rows", [60, GROUPS * 3 + 7])
def test_the_bootstrap_of_a_mean_is_as_wide_as_its_standard_error(rows: int) -> None:
    values = np.random.default_rng(1).normal(10, 2, rows)
    found = bootstrap(np.column_stack([np.ones(rows), values]), lambda sums: sums[:, 1] / sums[:, 0])
    half = 1.96 * values.std() / np.sqrt(rows)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.12)
    assert found.low < values.mean() < found.high


def test_a_bootstrap_says_the_same_each_time() -> None:
    terms = np.random.default_rng(2).normal(size=(50, 2)) + 5
    first, second = (bootstrap(terms, lambda sums: sums[:, 0] / sums[:, 1]) for _ in range(2))
    assert first == second


def test_intervals_of_a_matrix_hold_the_truth_as_often_as_they_say() -> None:
    truth = np.array([[40, 5, 5], [4, 20, 6], [2, 2, 16]], np.float64)
    share = float(truth.trace() / truth.sum())
    random, held = np.random.default_rng(3), 0
    for _ in range(100):
        counts = random.multinomial(300, (truth / truth.sum()).ravel()).reshape(3, 3)
        found = bootstrap_confusion(counts, {"accuracy": _accuracy})["accuracy"]
        held += found.low <= share <= found.high
    assert 87 <= held <= 100


def _accuracy(margins: Margins) -> float:
    return float(margins.hits.sum() / margins.support.sum())
