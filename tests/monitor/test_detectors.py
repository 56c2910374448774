"""Drift tests: what they find, and how seldom they cry wolf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidemill.backends.detectors._permutation import permutation_test
from tidemill.backends.detectors.dependence import DependenceDetector
from tidemill.backends.detectors.mmd import MmdDetector, gaussian_kernel, squared_mmd
from tidemill.backends.detectors.univariate import UnivariateDetector, holm
from tidemill.domain.drift import DriftTest
from tidemill.ports import Detector, Sample

DETECTORS: list[Detector] = [UnivariateDetector(), MmdDetector(), DependenceDetector()]


def sample(rng: np.random.Generator, rows: int, *, shift: float = 0.0, correlation: float = 0.0) -> Sample:
    """Ten classes, six number columns, one of categories."""
    numbers = rng.normal(size=(rows, 6)).astype(np.float32)
    numbers[:, 0] += shift
    numbers[:, 1] = correlation * numbers[:, 0] + np.sqrt(1 - correlation**2) * numbers[:, 1]
    columns: dict[str, NDArray[Any]] = {f"c{i}": numbers[:, i] for i in range(6)}
    columns["kind"] = rng.choice(list("abcde"), rows, p=[0.5, 0.3, 0.15, 0.04, 0.01])
    return Sample(rng.dirichlet([0.3] * 10, size=rows).astype(np.float32), numbers, columns)


@pytest.mark.parametrize("detector", DETECTORS)
def test_no_drift_alarms_at_the_level(detector: Detector) -> None:
    """150 windows at 5 %: more than 16 alarms (10.7 %) happen by chance once in 900 times at the true level."""
    rng = np.random.default_rng(7)
    alarms = 0
    for seed in range(150):
        tests = detector.compare(sample(rng, 200), sample(rng, 120), level=0.05, seed=seed)
        alarms += any(test.drifted for test in tests)
    assert alarms <= 16


def test_a_shifted_column_is_named() -> None:
    rng = np.random.default_rng(1)
    tests = UnivariateDetector().compare(sample(rng, 1000), sample(rng, 1000, shift=0.4), level=0.001, seed=0)
    assert [test.feature for test in tests if test.drifted] == ["c0"]
    assert {test.feature for test in tests} == {"confidence", "predicted class", "kind", *(f"c{i}" for i in range(6))}


def test_embeddings_that_moved_are_seen() -> None:
    rng = np.random.default_rng(2)
    (test,) = MmdDetector().compare(sample(rng, 500), sample(rng, 500, shift=0.6), level=0.0005, seed=0)
    assert test.drifted


def test_a_changed_correlation_is_named_though_no_column_moved() -> None:
    rng = np.random.default_rng(3)
    reference, window = sample(rng, 1000), sample(rng, 1000, correlation=0.35)
    (test,) = DependenceDetector().compare(reference, window, level=0.0005, seed=0)
    assert (test.feature, test.drifted) == ("c0 ~ c1", True)
    assert not any(t.drifted for t in UnivariateDetector().compare(reference, window, level=0.0005, seed=0))


def test_a_shift_alone_is_no_change_of_correlation() -> None:
    rng = np.random.default_rng(4)
    (test,) = DependenceDetector().compare(sample(rng, 500), sample(rng, 500, shift=2.0), level=0.01, seed=0)
    assert not test.drifted


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_same_seed_gives_the_same_answer(detector: Detector) -> None:
    reference, window = sample(np.random.default_rng(5), 1500), sample(np.random.default_rng(6), 1200)
    first, second = (detector.compare(reference, window, level=0.01, seed=3) for _ in range(2))
    assert first == second


def test_values_that_went_missing_and_a_new_category() -> None:
    rng = np.random.default_rng(8)
    reference, window = sample(rng, 400), sample(rng, 400)
    window.columns["c2"][:60] = np.nan
    window.columns["kind"][:40] = "z"
    tests = UnivariateDetector().compare(reference, window, level=0.001, seed=0)
    assert {test.feature for test in tests if test.drifted} == {"c2 missing", "kind"}


def _kind(reference: NDArray[Any], window: NDArray[Any]) -> DriftTest:
    none = np.empty((0, 0), np.float32)
    samples = [Sample(np.ones((len(k), 1), np.float32), none, {"kind": k}) for k in (reference, window)]
    return next(t for t in UnivariateDetector().compare(*samples, level=0.01, seed=0) if t.feature == "kind")


@pytest.mark.parametrize(("kinds", "shares"), [("az", [0.999, 0.001]), ("abz", [0.6, 0.399, 0.001])])
def test_a_category_of_one_in_a_thousand_alarms_at_the_level(kinds: str, shares: list[float]) -> None:
    """2000 windows: more than 35 at 1 % or 9 at 0.1 % happen by chance once in 1000 times at the true level."""
    rng = np.random.default_rng(10)
    reference, windows = (rng.choice(list(kinds), (2000, rows), p=shares) for rows in (2000, 50))
    p_values = np.array([_kind(*pair).p_value for pair in zip(reference, windows, strict=True)])
    assert (p_values < 0.01).sum() <= 35
    assert (p_values < 0.001).sum() <= 9


def test_one_unseen_value_is_no_drift_and_many_are() -> None:
    reference, window = np.array(["a"] * 2000), np.array(["a"] * 49 + ["z"])
    one = _kind(reference, window)
    assert (one.method, one.drifted) == ("Fisher exact", False)
    assert (one.statistic, one.p_value) == pytest.approx((1 / 50, 50 / 2050))  # the one value fell into the window
    window[:5] = "z"
    assert _kind(reference, window).drifted


def test_a_pool_that_is_too_rare_joins_the_rarest_kept_category() -> None:
    reference, window = np.array(["a"] * 1200 + ["b"] * 800), np.array(["a"] * 30 + ["b"] * 19 + ["z"])
    found = _kind(reference, window)
    same = _kind(reference, np.where(window == "z", "b", window))
    assert found.method == "chi-squared"
    assert (found.statistic, found.p_value) == (same.statistic, same.p_value)


@pytest.mark.parametrize("detector", DETECTORS)
def test_constants_absences_and_broken_numbers_do_no_harm(detector: Detector) -> None:
    embedding = np.full((60, 3), np.nan, np.float32)
    columns = {"same": np.ones(60, np.float32), "gone": np.full(60, np.nan, np.float32), "one": np.array(["a"] * 60)}
    flat = Sample(np.ones((60, 1), np.float32), embedding, columns)
    assert not any(test.drifted for test in detector.compare(flat, flat, level=0.05, seed=0))


def test_a_model_without_embedding_has_no_test_of_it() -> None:
    bare = Sample(np.ones((60, 1), np.float32), np.empty((60, 0), np.float32), {})
    assert MmdDetector().compare(bare, bare, level=0.05, seed=0) == []


def test_holm_steps_down_and_stops() -> None:
    levels = holm([0.001, 0.2, 0.02, 0.011], 0.04)
    assert levels == pytest.approx([0.01, 0.02, 0.02, 0.04 / 3])
    assert [p < at for p, at in zip([0.001, 0.2, 0.02, 0.011], levels, strict=True)] == [True, False, False, True]


def test_mmd_is_the_formula_of_the_paper() -> None:
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(7, 2)).astype(np.float32), rng.normal(1, 1, size=(5, 2)).astype(np.float32)
    both = np.concatenate([x, y])
    pairs = [float(((both[i] - both[j]) ** 2).sum()) for i in range(12) for j in range(i + 1, 12)]
    k = np.exp(-((both[:, None] - both[None]) ** 2).sum(axis=2) / (2 * np.median(pairs)))
    within_x = (k[:7, :7].sum() - 7) / 42
    within_y = (k[7:, 7:].sum() - 5) / 20
    expected = within_x + within_y - 2 * k[:7, 7:].mean()
    found = squared_mmd(gaussian_kernel(both), np.arange(12)[:, None] < 7)
    assert found == pytest.approx([expected], rel=1e-5)


def test_a_p_value_is_never_zero_and_counts_the_observed_division() -> None:
    """Phipson and Smyth 2010: (1 + exceeded) / (1 + drawn); here nothing exceeds, until 4 / level are drawn."""

    def statistic(member: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.full(member.shape[1], 1.0 if member.shape[1] == 1 else 0.0)

    found = permutation_test(statistic, 10, 10, level=0.001, rng=np.random.default_rng(0))
    assert found == (1.0, 1 / 4001)


def test_stopping_early_changes_no_verdict() -> None:
    """With a statistic that knows nothing of the rows, p is about the share of values above the observed one."""
    values = np.random.default_rng(0).random(100_000)
    used = iter(range(100_000))

    def statistic(member: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.array([0.5 if member.shape[1] == 1 else values[next(used)] for _ in range(member.shape[1])])

    _, p_value = permutation_test(statistic, 10, 10, level=0.001, rng=np.random.default_rng(0))
    assert 0.45 < p_value < 0.55
    assert next(used) == 1000
