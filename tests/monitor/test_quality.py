"""Accuracy with labels and without: intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.monitor.digits import answered, rows_of
from tidemill.stages.quality import (
    calibrated,
    class_quality,
    estimated_accuracy,
    fit_calibration,
    logit,
    measured_accuracy,
    measured_rmse,
    wilson,
)


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-values)), np.float64)


def test_wilson_as_published() -> None:
    """Newcombe 1998, Statistics in Medicine 17, table I: 81/263, 15/148, 0/20, 1/29."""
    for right, rows, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
                                   (1, 29, 0.0061, 0.1718)):  # fmt: skip
        assert wilson(right, rows) == pytest.approx((low, high), abs=1e-4)


def test_calibrated_confidence_is_the_reference_accuracy_on_average() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(2, 2, 360)
    correct = rng.random(360) < sigmoid(0.3 + 0.5 * logits)
    assert calibrated(logits, fit_calibration(logits, correct)).mean() == pytest.approx(correct.mean(), abs=0.01)


def test_the_estimate_covers_what_labels_will_show() -> None:
    """Covariate shift, an overconfident model, 360 reference rows: 95 % intervals, 60 windows, at least 52 hits.

    Windows of 100 rows, so that an interval without the labels' own variance would fail.
    """
    rng = np.random.default_rng(1)
    hits, errors = 0, []
    for seed in range(60):
        known, asked = rng.normal(2, 2, 360), rng.normal(1.2, 2, 100)
        right, later = (rng.random(len(x)) < sigmoid(0.3 + 0.5 * x) for x in (known, asked))
        found = estimated_accuracy(sigmoid(known), right, sigmoid(asked), seed=seed)
        hits += found.low <= later.mean() <= found.high
        errors.append(found.value - later.mean())
    assert hits >= 52
    assert abs(np.mean(errors)) < 0.02


@pytest.mark.parametrize("right", [True, False])
def test_a_reference_that_is_all_right_or_all_wrong(right: bool) -> None:
    found = estimated_accuracy(np.ones(360), np.full(360, right), np.full(200, 0.999), seed=0)
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(float(right), abs=0.01)


def test_digits_the_estimate_agrees_with_labels_where_nothing_changed() -> None:
    reference, window = rows_of(answered(slice(0, 400))), rows_of(answered(slice(400, 1000)))
    estimated = estimated_accuracy(reference.confidence, reference.correct, window.confidence, seed=0)
    measured = measured_accuracy(window.correct, "labels")
    assert estimated.low <= measured.value <= estimated.high
    assert measured.low <= estimated.value <= measured.high


def test_rmse_and_its_interval() -> None:
    errors = np.random.default_rng(2).normal(0, 3, 400)
    found = measured_rmse(errors, "labels", seed=0)
    assert found.value == pytest.approx(np.sqrt((errors**2).mean()))
    assert found.low < 3 < found.high
    assert found.high - found.low < 1


def test_classes_count_answers_by_what_was_said_and_accuracy_by_what_was_true() -> None:
    known = np.array(["a", "a", "b", "b"]), np.array(["a", "a", "b", "a"])
    asked = np.array(["a", "b", "b", "b"]), np.array(["a", "", "c", "b"])
    lines = class_quality(["a", "b"], known, asked, np.array([True, False, True, True]))
    assert [line.label for line in lines] == ["a", "b", "c"]
    a, b, c = lines
    assert (a.predicted, a.share, a.labelled, a.accuracy) == (1, 0.25, 1, 1.0)
    assert a.reference_share == 0.5
    assert a.reference_accuracy == pytest.approx(2 / 3)
    assert (b.predicted, b.labelled, b.accuracy) == (3, 1, 1.0)
    assert (c.predicted, c.labelled, c.accuracy, c.reference_accuracy) == (0, 1, 0.0, None)


def test_a_logit_is_bounded() -> None:
    assert np.abs(logit(np.array([0.0, 1.0, 0.5]))).tolist() == [12.0, 12.0, 0.0]


def test_the_interval_stays_sensible_where_confidence_nearly_separates_right_from_wrong() -> None:
    """Two of ten classes were never learned: their answers are wrong, and a little less confident than the others."""
    rng = np.random.default_rng(3)
    correct = np.arange(360) % 5 != 0
    confidence = np.where(correct, rng.uniform(0.995, 0.99999, 360), rng.uniform(0.3, 0.999, 360))
    estimate = estimated_accuracy(confidence, correct, confidence, seed=0)
    assert abs(estimate.value - 0.8) < 0.01
    assert estimate.low > 0.7
    assert estimate.high < 0.9
