"""Evaluate: scores against the labels of a split, as figures, tables and a picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.domain.record import to_plain
from tidemill.errors import DataError
from tidemill.ports import Scored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.dataset.read import Examples
    from tidemill.domain.bundle import Signature
    from tidemill.ports import Raw

_PART, _PICTURES = 4096, 256  # rows that are prepared together; decoded pictures are large
_PICTURED = 60  # classes: more make a picture nobody can read


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`rows` were scored. Classification: accuracy, macro_f1 (mean over the classes that occur), mcc
    (Matthews' correlation), log_loss (nats); regression: rmse, mae, r2.

    `per_class` holds precision, recall (the accuracy on the rows of the class), f1 and support for each label;
    `confusion[i][j]` counts rows of label i that were taken for label j, in the order of `labels`.
    """

    rows: int
    metrics: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]

    def worst(self, number: int = 3) -> list[tuple[str, float]]:
        """The labels with the lowest recall, the lowest first, that are below the accuracy of all."""
        recalls = [(label, figures["recall"]) for label, figures in self.per_class.items() if figures["support"]]
        below = [each for each in recalls if each[1] < self.metrics["accuracy"]]
        return sorted(below, key=lambda each: each[1])[:number]


def evaluate(signature: Signature, scored: Scored, examples: Examples) -> Evaluation:
    """How `scored`, in the order of `examples`, agrees with their labels.

    Raises DataError for a label that the model does not know, and for no rows at all.
    """
    if not len(scored.scores):
        raise DataError("the split has no rows to evaluate on", "add a version whose test split has rows")
    if signature.kind == "regression":
        assert examples.values is not None
        return _regression(scored.scores[:, 0].astype(np.float64), examples.values)
    position = {label: number for number, label in enumerate(signature.labels)}
    unknown = sorted(set(examples.labels) - set(position))
    if unknown:
        raise DataError(
            f"the data has the class {unknown[0]!r}, which the model does not know",
            f"train on a version that has it; the model knows {', '.join(signature.labels[:10])}",
        )
    truth = np.fromiter((position[label] for label in examples.labels), np.int64, len(examples.labels))
    return _classification(signature.labels, scored.scores.astype(np.float64), truth)


def score_inputs(answer: Callable[[Sequence[Raw]], Scored], inputs: Sequence[Raw]) -> Scored:
    """The answers to raw `inputs`, in their order; some at a time, so that memory does not grow with them."""
    rows = _PICTURES if inputs and isinstance(inputs[0], bytes) else _PART
    parts = [answer(inputs[start : start + rows]) for start in range(0, len(inputs), rows)]
    if not parts:
        raise DataError("there are no rows to score", "add a version whose test split has rows")
    return Scored(np.concatenate([part.scores for part in parts]), np.concatenate([part.embedding for part in parts]))


def _classification(labels: tuple[str, ...], scores: NDArray[np.float64], truth: NDArray[np.int64]) -> Evaluation:
    answer = scores.argmax(axis=1)
    confusion = np.bincount(truth * len(labels) + answer, minlength=len(labels) ** 2).reshape(len(labels), -1)
    hits, support, answered = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    recall = hits / np.maximum(support, 1)
    precision = hits / np.maximum(answered, 1)
    f1 = 2 * hits / np.maximum(support + answered, 1)
    certain = np.clip(scores[np.arange(len(truth)), truth], 1e-15, 1.0)
    metrics = {
        "accuracy": float(hits.sum() / len(truth)),
        "macro_f1": float(f1[support > 0].mean()),
        "mcc": _matthews(confusion),
        "log_loss": float(-np.log(certain).mean()),
    }
    figures = zip(precision.tolist(), recall.tolist(), f1.tolist(), support.tolist(), strict=True)
    names = ("precision", "recall", "f1", "support")
    per_class = {
        label: dict(zip(names, map(float, each), strict=True)) for label, each in zip(labels, figures, strict=True)
    }
    return Evaluation(len(truth), metrics, per_class, labels, tuple(map(tuple, confusion.tolist())))


def _matthews(confusion: NDArray[np.int64]) -> float:
    """Matthews' correlation for any number of classes (Gorodkin, 2004); 0 where all rows are, or are taken for, one."""
    counts = confusion.astype(np.float64)
    rows, support, answered = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    spread = (rows**2 - (support**2).sum()) * (rows**2 - (answered**2).sum())
    return float((counts.trace() * rows - support @ answered) / np.sqrt(spread)) if spread > 0 else 0.0


def _regression(answer: NDArray[np.float64], truth: NDArray[np.float64]) -> Evaluation:
    """R² is 0 where the truth does not vary: nothing is there to be explained."""
    error = answer - truth
    spread = float(((truth - truth.mean()) ** 2).sum())
    metrics = {
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
        "r2": 1.0 - float((error**2).sum()) / spread if spread else 0.0,
    }
    return Evaluation(len(truth), metrics, {}, (), ())


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """evaluation.json; for classes per_class.csv, confusion.csv and, up to 60 of them, confusion.png."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(to_plain(evaluation), indent=2, ensure_ascii=False)
    (folder / "evaluation.json").write_text(content, encoding="utf-8")
    if not evaluation.labels:
        return
    names = ("precision", "recall", "f1", "support")
    rows = [[label, *(figures[name] for name in names)] for label, figures in evaluation.per_class.items()]
    _table(folder / "per_class.csv", ("label", *names), rows)
    counts = [[label, *row] for label, row in zip(evaluation.labels, evaluation.confusion, strict=True)]
    _table(folder / "confusion.csv", ("label", *evaluation.labels), counts)
    if len(evaluation.labels) <= _PICTURED:
        _picture(evaluation, folder / "confusion.png")


def _table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _picture(evaluation: Evaluation, path: Path) -> None:
    """The confusion matrix, each row shaded by its share; drawn without pyplot, which keeps global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = np.array(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = max(4.0, min(16.0, 1.5 + 0.45 * len(counts)))
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(counts))
    shown = [label if len(label) <= 16 else label[:15] + "…" for label in evaluation.labels]
    axes.set_xticks(ticks, [label.replace("$", r"\$") for label in shown], rotation=90)
    axes.set_yticks(ticks, [label.replace("$", r"\$") for label in shown])
    axes.set_xlabel("answered")
    axes.set_ylabel("true")
    axes.set_title(f"accuracy {evaluation.metrics['accuracy']:.1%} of {evaluation.rows:,} rows")
    if len(counts) <= 20:
        for row, column in zip(*counts.nonzero(), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png")
