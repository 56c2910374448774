"""Scores to answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tidemill.domain.bundle import Signature

if TYPE_CHECKING:
    from numpy.typing import NDArray


def decide(signature: Signature, scores: NDArray[np.float32]) -> list[str]:
    """The answer for each row of `scores` [N, C]: the label with the highest score, the first of equals.

    For regression, [N, 1]: the shortest text that gives the same 32-bit float again.
    """
    if signature.kind == "regression":
        return [str(value) for value in scores[:, 0].astype(np.float32, copy=False)]
    return [signature.labels[index] for index in scores.argmax(axis=1)]
