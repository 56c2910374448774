"""Evaluate: scores against the labels of a split, as figures, tables and a picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.domain.record import to_plain
from tidemill.errors import DataError
from tidemill.ports import Scored
from tidemill.stages.evaluation.intervals import Interval, Margins, bootstrap, bootstrap_confusion, wilson
from tidemill.stages.evaluation.matrix import picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.dataset.read import Examples
    from tidemill.domain.bundle import Signature
    from tidemill.ports import Raw

_PART, _PICTURES = 4096, 256  # rows that are prepared together; decoded pictures are large


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`rows` were scored. Classification: accuracy, macro_f1 (mean over the classes that occur), mcc
    (Matthews' correlation), log_loss (nats); regression: rmse, mae, r2.

    `per_class` holds precision, recall (the accuracy on the rows of the class), f1 and support for each label;
    `confusion[i][j]` counts rows of label i that were taken for label j, in the order of `labels`. `intervals` are the
    metrics' 95 % confidence intervals: Wilson's for the accuracy, a bootstrap's for the others.
    """

    rows: int
    metrics: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    intervals: Mapping[str, Interval] = field(default_factory=dict)

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
    margins = Margins(*(each.astype(np.float64) for each in (confusion.diagonal(), confusion.sum(1), confusion.sum(0))))
    hits, support, answered = margins
    losses = -np.log(np.clip(scores[np.arange(len(truth)), truth], 1e-15, 1.0))
    metrics = {
        "accuracy": float(hits.sum() / len(truth)),
        "macro_f1": _macro_f1(margins),
        "mcc": _matthews(margins),
        "log_loss": float(losses.mean()),
    }
    intervals = {
        "accuracy": wilson(float(hits.sum()), len(truth)),
        **bootstrap_confusion(confusion, {"macro_f1": _macro_f1, "mcc": _matthews}),
        "log_loss": bootstrap(np.column_stack([np.ones(len(losses)), losses]), lambda sums: sums[:, 1] / sums[:, 0]),
    }
    columns = (hits / np.maximum(answered, 1), hits / np.maximum(support, 1), _f1(margins), support)
    figures = zip(*(column.tolist() for column in columns), strict=True)
    names = ("precision", "recall", "f1", "support")
    per_class = {label: dict(zip(names, each, strict=True)) for label, each in zip(labels, figures, strict=True)}
    return Evaluation(len(truth), metrics, per_class, labels, tuple(map(tuple, confusion.tolist())), intervals)


def _f1(margins: Margins) -> NDArray[np.float64]:
    return np.asarray(2 * margins.hits / np.maximum(margins.support + margins.answered, 1))


def _macro_f1(margins: Margins) -> float:
    return float(_f1(margins)[margins.support > 0].mean())


def _matthews(margins: Margins) -> float:
    """Matthews' correlation for any number of classes (Gorodkin, 2004); 0 where all rows are, or are taken for, one."""
    hits, support, answered = margins
    rows = support.sum()
    spread = (rows**2 - (support**2).sum()) * (rows**2 - (answered**2).sum())
    return float((hits.sum() * rows - support @ answered) / np.sqrt(spread)) if spread > 0 else 0.0


def _regression(answer: NDArray[np.float64], truth: NDArray[np.float64]) -> Evaluation:
    """R² is 0 where the truth does not vary: nothing is there to be explained."""
    error, moved = answer - truth, truth - truth.mean()  # moved: sums of squares of large numbers lose digits
    terms = np.column_stack([np.ones(len(error)), np.abs(error), error**2, moved, moved**2])
    figures: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
        "rmse": lambda sums: np.sqrt(sums[:, 2] / sums[:, 0]),
        "mae": lambda sums: sums[:, 1] / sums[:, 0],
        "r2": _explained,
    }
    total = terms.sum(axis=0, keepdims=True)
    metrics = {name: float(figure(total)[0]) for name, figure in figures.items()}
    return Evaluation(
        len(truth), metrics, {}, (), (), {name: bootstrap(terms, figure) for name, figure in figures.items()}
    )


def _explained(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = sums[:, 4] - sums[:, 3] ** 2 / sums[:, 0]
    varies = spread > 1e-12 * np.maximum(sums[:, 4], 1e-300)
    return np.where(varies, 1.0 - sums[:, 2] / np.where(varies, spread, 1.0), 0.0)


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """evaluation.json; for classes per_class.csv, confusion.csv and confusion.png."""
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
    write_picture(evaluation, folder / "confusion.png")


def write_picture(evaluation: Evaluation, path: Path) -> None:
    """The confusion matrix as a PNG file."""
    title = f"accuracy {evaluation.metrics['accuracy']:.1%} of {evaluation.rows:,} rows"
    path.write_bytes(picture(evaluation.labels, np.array(evaluation.confusion), title))


def _table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
