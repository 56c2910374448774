"""Beside an evaluation's figures: precision-recall curves, and some test rows with what the model answered."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.dataset.read import Examples
    from tidemill.domain.bundle import Signature
    from tidemill.ports import Raw, Scored

POINTS = 100  # of a curve
CURVES = 60  # labels with a curve; those with the most rows
SAMPLES = 32  # rows; half of them the surest mistakes
THUMBNAIL = 128  # pixels, longest side
_LONGEST = 500  # characters of an input


def write_details(signature: Signature, scored: Scored, examples: Examples, folder: Path) -> None:
    """`samples.json` with pictures beside, and for classes `pr_curves.csv`, into `folder`.

    `samples.json` is a list of name, input (text, a row as JSON, or null), picture (a path in `folder`, or null),
    label, prediction, score (of the prediction; for regression the error). `pr_curves.csv` holds, for each label, the
    counts tp, fp, tn, fn and precision and recall of "score of the label >= threshold", thresholds rising.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scores = scored.scores.astype(np.float64)
    if signature.kind == "regression":
        assert examples.values is not None
        errors = scores[:, 0] - examples.values
        labels = [_short(value) for value in examples.values.tolist()]
        answers, figures, worst = [_short(value) for value in scores[:, 0].tolist()], errors, -np.abs(errors)
    else:
        truth = np.array([signature.labels.index(label) for label in examples.labels])
        answer = scores.argmax(axis=1)
        labels, answers = list(examples.labels), [signature.labels[index] for index in answer]
        figures = scores[np.arange(len(scores)), answer]
        worst = np.where(answer != truth, -figures, 1.0)
        _write_curves(folder / "pr_curves.csv", signature.labels, scores, truth)
    chosen = _chosen(worst)
    rows = [
        {
            "name": str(examples.names[i]), **_shown(examples.inputs[i], folder, number),
            "label": labels[i], "prediction": answers[i], "score": float(figures[i]),
        }
        for number, i in enumerate(chosen)
    ]  # fmt: skip
    (folder / "samples.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")


def _chosen(worst: NDArray[np.float64]) -> list[int]:
    """Rows: the lowest of `worst` below zero first, at most half of all that are taken, then evenly spread ones."""
    order = [int(index) for index in np.argsort(worst, kind="stable") if worst[index] < 0][: SAMPLES // 2]
    spread = np.linspace(0, len(worst) - 1, num=min(SAMPLES, len(worst))).round().astype(int).tolist()
    return list(dict.fromkeys([*order, *spread]))[:SAMPLES]


def _shown(raw: Raw, folder: Path, number: int) -> dict[str, str | None]:
    if isinstance(raw, bytes):
        return {"input": None, "picture": _thumbnail(raw, folder, number)}
    text = raw if isinstance(raw, str) else json.dumps(raw, default=str, ensure_ascii=False)
    return {"input": text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…", "picture": None}


def _thumbnail(raw: bytes, folder: Path, number: int) -> str:
    from PIL import Image

    place = f"samples/{number:02}.png"
    (folder / "samples").mkdir(exist_ok=True)
    with Image.open(io.BytesIO(raw)) as image:
        small = image.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        small.save(folder / place, format="png")
    return place


def _write_curves(path: Path, labels: tuple[str, ...], scores: NDArray[np.float64], truth: NDArray[np.int64]) -> None:
    support = np.bincount(truth, minlength=len(labels))
    kept = sorted(np.argsort(-support, kind="stable")[:CURVES].tolist())
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("label", "threshold", "tp", "fp", "tn", "fn", "precision", "recall"))
        for index in kept:
            if support[index]:
                table.writerows((labels[index], *point) for point in _curve(scores[:, index], truth == index))


def _curve(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> list[tuple[Any, ...]]:
    """Threshold, tp, fp, tn, fn, precision, recall at up to POINTS quantiles of the scores, rising."""
    thresholds = np.unique(np.quantile(scores, np.linspace(0, 1, POINTS), method="nearest"))
    hits, misses = np.sort(scores[positive]), np.sort(scores[~positive])
    tp = len(hits) - np.searchsorted(hits, thresholds, side="left")
    fp = len(misses) - np.searchsorted(misses, thresholds, side="left")
    precision, recall = tp / np.maximum(tp + fp, 1), tp / len(hits)
    columns = (thresholds, tp, fp, len(misses) - fp, len(hits) - tp, precision, recall)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _short(value: float) -> str:
    return f"{value:.6g}"
