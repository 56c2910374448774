"""How good the answers are: measured where labels came, estimated where none did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tidemill.domain.drift import ClassQuality, QualityEstimate

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_Z = 1.959964  # 95 %, two-sided
_RESAMPLES = 400
_FEW = 20
_LOGIT_LIMIT = 12.0  # float32 confidences saturate; beyond it one of them would outweigh all others


def wilson(right: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): sound also for few rows and for 0 % and 100 %."""
    share, inverse = right / rows, _Z**2 / rows
    centre = (share + inverse / 2) / (1 + inverse)
    half = _Z / (1 + inverse) * np.sqrt(share * (1 - share) / rows + inverse / (4 * rows))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def measured_accuracy(correct: Bools, method: str) -> QualityEstimate:
    """The share of `correct` [N], N >= 1, with Wilson's interval."""
    right, rows = int(correct.sum()), len(correct)
    return QualityEstimate("accuracy", right / rows, *wilson(right, rows), rows, method)


def measured_rmse(errors: Floats, method: str, *, seed: int) -> QualityEstimate:
    """Root mean square of `errors` [N], N >= 1, in the unit of the target.

    Interval by percentile bootstrap; below `_FEW` rows, where that is far too narrow, as of normal errors.
    """
    from scipy.stats import chi2

    rng = np.random.default_rng(seed)
    squares = errors.astype(np.float64) ** 2
    rows = len(squares)
    if rows < _FEW:
        low, high = np.sqrt(squares.sum() / chi2.ppf([0.975, 0.025], rows))
        return QualityEstimate("rmse", float(np.sqrt(squares.mean())), float(low), float(high), rows, method)
    means = [squares[rng.integers(0, len(squares), len(squares))].mean() for _ in range(_RESAMPLES)]
    low, high = np.sqrt(np.quantile(means, [0.025, 0.975]))
    return QualityEstimate("rmse", float(np.sqrt(squares.mean())), float(low), float(high), len(squares), method)


def logit(confidence: Floats) -> Floats:
    """log(c / (1 - c)) of confidences in 0..1, held within +-12."""
    safe = np.clip(confidence.astype(np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.clip(np.log(safe) - np.log1p(-safe), -_LOGIT_LIMIT, _LOGIT_LIMIT), np.float64)


def fit_calibration(logits: Floats, correct: Bools) -> Floats:
    """Intercept and slope of P(right | confidence), by Platt's method with his smoothed targets.

    Two parameters, because a reference of a few hundred rows bears no more (isotonic regression does worse there);
    Platt 1999, "Probabilistic outputs for support vector machines". With an intercept the mean of the calibrated
    confidences on the reference is its accuracy.
    """
    right, rows = int(correct.sum()), len(correct)
    targets = np.where(correct, (right + 1) / (right + 2), 1 / (rows - right + 2))
    design = np.column_stack([np.ones(rows), logits])
    ridge = np.array([1e-9, 1e-3])

    def loss(weights: Floats) -> float:
        score = design @ weights
        likelihood = np.logaddexp(0, score).sum() - targets @ score
        return float(likelihood + 0.5 * (ridge * weights**2).sum())

    share = targets.mean()
    weights = np.array([np.log(share / (1 - share)), 0.0])
    reached = loss(weights)
    for _ in range(50):
        fitted = calibrated(logits, weights)
        gradient = design.T @ (targets - fitted) - ridge * weights
        step = np.linalg.solve(design.T @ (design * (fitted * (1 - fitted))[:, None]) + np.diag(ridge), gradient)
        scale = 1.0
        while loss(weights + scale * step) > reached and scale > 1e-6:
            scale /= 2  # near separation a whole Newton step overshoots, and would never come back
        weights = weights + scale * step
        before, reached = reached, loss(weights)
        if before - reached < 1e-9 * (1 + abs(reached)):
            break
    return weights


def calibrated(logits: Floats, weights: Floats) -> Floats:
    """P(right) for confidences given as logits."""
    return np.asarray(1 / (1 + np.exp(-np.clip(weights[0] + weights[1] * logits, -30, 30))), np.float64)


def estimated_accuracy(reference: Floats, correct: Bools, window: Floats, *, seed: int) -> QualityEstimate:
    """Accuracy in the window without labels: the mean of calibrated confidences (confidence-based estimation, CBPE).

    `reference` [N] and `window` [M] are the confidences of the answers, `correct` [N] whether the reference's were
    right. Holds when the inputs shift and what a confidence means does not; sees nothing of a shift of the labels'
    meaning. The 95 % interval is for the accuracy that labels of the window would show: it holds the reference's
    sampling (bootstrap) and the window's (the labels' own variance).
    """
    rng = np.random.default_rng(seed)
    known, asked = logit(reference), logit(window)
    value = float(calibrated(asked, fit_calibration(known, correct)).mean())
    draws = np.empty(_RESAMPLES)
    for index in range(_RESAMPLES):
        rows = rng.integers(0, len(known), len(known))
        chances = calibrated(asked, fit_calibration(known[rows], correct[rows]))
        draws[index] = rng.normal(chances.mean(), np.sqrt((chances * (1 - chances)).mean() / len(asked)))
    low, high = np.clip(np.quantile(draws, [0.025, 0.975]), 0, 1)
    return QualityEstimate("accuracy", value, min(float(low), value), max(float(high), value), len(asked), "CBPE")


def class_quality(
    labels: Sequence[str],
    reference: tuple[NDArray[np.str_], NDArray[np.str_]],
    window: tuple[NDArray[np.str_], NDArray[np.str_]],
    labelled: Bools,
) -> tuple[ClassQuality, ...]:
    """Each class in the window: `reference` and `window` are answers and true labels, [N] and [M].

    The window's true labels count where `labelled` [M]. A label that came and is no class of the model has a line too.
    """
    known_answers, known_truth = reference
    answers, truth = window
    strangers = sorted(set(truth[labelled].tolist()) - set(labels))
    lines = []
    for label in [*labels, *strangers]:
        here, there = labelled & (truth == label), known_truth == label
        predicted = int((answers == label).sum())
        lines.append(
            ClassQuality(
                label=label,
                predicted=predicted,
                share=predicted / len(answers),
                reference_share=float((known_answers == label).mean()),
                labelled=int(here.sum()),
                accuracy=float((answers[here] == label).mean()) if here.any() else None,
                reference_accuracy=float((known_answers[there] == label).mean()) if there.any() else None,
            )
        )
    return tuple(lines)
