"""A real model of scikit-learn's digits, one that never saw 8 and 9, and its answers as the log keeps them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from tidemill.bundle.preprocess import Preprocessor
from tidemill.domain.bundle import ImagePreprocessing, Signature
from tidemill.domain.drift import Window
from tidemill.stages.answered import AnsweredRows, answered_rows

LABELS = tuple("0123456789")
SIGNATURE = Signature("image", "classification", (), (), LABELS)
PREPROCESSOR = Preprocessor(ImagePreprocessing("L", 8, 8))
START = datetime(2026, 1, 1, tzinfo=UTC)
Change = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Trained:
    """The classifier, and rows it was not trained on."""

    model: Any
    pixels: NDArray[np.float64]
    labels: NDArray[np.int64]


@cache
def trained() -> Trained:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    pixels, labels = digits.images[order].reshape(-1, 64), digits.target[order]
    seen = labels[:700] < 8
    model = LogisticRegression(max_iter=300, C=0.02).fit(pixels[:700][seen], labels[:700][seen])
    return Trained(model, pixels[700:], labels[700:])


def answered(rows: slice, *, labelled: float = 1.0, change: Change | None = None) -> pa.Table:
    """Answers to the pictures `rows`, after `change` of their pixels (0..16); a share of them with a label."""
    known = trained()
    pixels = known.pixels[rows] if change is None else change(known.pixels[rows]).clip(0, 16)
    scores = np.zeros((len(pixels), 10), np.float32)
    scores[:, :8] = known.model.predict_proba(pixels)
    with_label = np.random.default_rng(1).random(len(pixels)) < labelled
    labels = [str(label) if shown else None for label, shown in zip(known.labels[rows], with_label, strict=True)]
    return pa.table(
        {
            "input": pa.array([png(row) for row in pixels], pa.binary()),
            "scores": pa.array(scores.tolist(), pa.list_(pa.float32())),
            "output": pa.array([str(answer) for answer in scores.argmax(axis=1)]),
            "label": pa.array(labels, pa.string()),
            "embedding": pa.array((pixels / 16).tolist(), pa.list_(pa.float32())),
        }
    )


def png(pixels: NDArray[np.float64]) -> bytes:
    file = io.BytesIO()
    Image.fromarray((pixels.reshape(8, 8) * 15.9).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def rows_of(table: pa.Table) -> AnsweredRows:
    return answered_rows(SIGNATURE, PREPROCESSOR, table)


def span_of(rows: AnsweredRows) -> Window:
    return Window("digits", 1, START, START + timedelta(hours=1), len(rows), int(rows.labelled.sum()))
