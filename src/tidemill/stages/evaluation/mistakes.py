"""The worst answers of a split, each with its input as a person can look at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.stages.evaluation.matrix import cut
from tidemill.stages.evaluation.records import Mistake
from tidemill.stages.small_picture import small_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.dataset.read import Examples
    from tidemill.domain.bundle import Signature
    from tidemill.ports import Raw

SHOWN = 24
SIDE = 112  # pixels
_LARGEST = 24_000  # characters of a picture's address; noise compresses badly
_WORDS, _CELLS, _CELL, _NAME = 400, 14, 40, 80  # characters of a text; cells of a row, and characters of one; of a name


def mistakes(signature: Signature, scores: NDArray[np.float64], examples: Examples) -> tuple[tuple[Mistake, ...], int]:
    """The wrong answers that were the surest, or the values that are furthest off; and how many were wrong in all."""
    if signature.kind == "regression":
        return _furthest(scores[:, 0], examples), int((scores[:, 0] != examples.values).sum())
    position = {label: number for number, label in enumerate(signature.labels)}
    truth = np.fromiter((position[label] for label in examples.labels), np.int64, len(examples.labels))
    answer = scores.argmax(axis=1)
    wrong = np.flatnonzero(answer != truth)
    surest = wrong[np.argsort(-scores[wrong, answer[wrong]], kind="stable")][:SHOWN].tolist()
    found = tuple(
        Mistake(
            cut(str(examples.names[row]), _NAME), examples.labels[row], signature.labels[answer[row]],
            float(scores[row, answer[row]]), float(scores[row, truth[row]]), **_shown(examples.inputs[row]),
        )
        for row in surest
    )  # fmt: skip
    return found, len(wrong)


def _furthest(answer: NDArray[np.float64], examples: Examples) -> tuple[Mistake, ...]:
    assert examples.values is not None
    error = answer - examples.values
    return tuple(
        Mistake(
            cut(str(examples.names[row]), _NAME), f"{examples.values[row]:.6g}", f"{answer[row]:.6g}",
            float(error[row]), **_shown(examples.inputs[row]),
        )
        for row in np.argsort(-np.abs(error), kind="stable")[:SHOWN].tolist()
    )  # fmt: skip


def _shown(raw: Raw) -> dict[str, Any]:
    """The fields of a Mistake that show its input."""
    if isinstance(raw, bytes):
        address = small_picture(raw, SIDE, enlarge=True)
        return {"picture": address if len(address) <= _LARGEST else ""}
    if isinstance(raw, str):
        return {"words": cut(raw, _WORDS)}
    return {"cells": _cells(raw)}


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    shown = list(row.items())[:_CELLS]
    return {cut(str(name), _CELL): cut(_value(value), _CELL) for name, value in shown}


def _value(value: Any) -> str:
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
