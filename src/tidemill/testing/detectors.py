"""The contract of ports.Detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tidemill.ports import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.ports import Detector


def sample(rows: int, *, seed: int, shift: float = 0.0) -> Sample:
    """Answers of a classifier of three classes on two correlated columns and a category; `shift` moves all of them."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(shift, 1.0, (rows, 4)).astype(np.float32)
    weights = np.random.default_rng(0).normal(size=(4, 3))
    powers = np.exp(hidden @ weights)
    scores: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    columns = {
        "size": hidden[:, 0].astype(np.float64),
        "weight": (hidden[:, 0] * 0.5 + hidden[:, 1]).astype(np.float64),
        "colour": np.where(hidden[:, 2] > 0, "red", "blue").astype(object),
    }
    return Sample(scores, hidden, columns)


def check_detector(detector: Detector) -> None:
    """Its tests are sound, repeatable, hold the level together, and stay quiet where nothing changed."""
    reference, same = sample(600, seed=1), sample(400, seed=2)
    found = detector.compare(reference, same, level=0.01, seed=3)
    assert found, "a detector reports every test it runs"
    assert found == detector.compare(reference, same, level=0.01, seed=3), "the seed alone decides"
    assert all(0 <= test.p_value <= 1 and np.isfinite(test.statistic) for test in found)
    assert all(test.feature and test.method for test in found)
    assert sum(test.level for test in found) <= 0.01 + 1e-12, "the level is for all tests together"
    quiet = detector.compare(reference, same, level=1e-6, seed=3)
    assert not any(test.drifted for test in quiet), "nothing changed"
