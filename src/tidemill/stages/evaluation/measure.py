"""Measuring what an evaluation report shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidemill.domain.dataset import SPLITS
from tidemill.errors import GateError, InputError
from tidemill.stages.evaluate import Evaluation, evaluate, score_inputs
from tidemill.stages.evaluation.mistakes import mistakes
from tidemill.stages.evaluation.records import (
    About,
    Bin,
    Calibration,
    Decile,
    EvaluationReport,
    MadeWith,
    Residuals,
    SplitResult,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.dataset.read import Examples, PackedDataset
    from tidemill.domain.bundle import Signature
    from tidemill.domain.run import Environment
    from tidemill.ports import Raw, Scored

    Answer = Callable[[Sequence[Raw]], Scored]

BINS = 15  # of a confidence
_POINTS = 700  # of a scatter plot
_BARS = 41  # of a histogram, at most
_PACKAGES = (
    "tidemill", "torch", "lightning", "transformers", "tokenizers", "scikit-learn", "xgboost", "xgboost-cpu", "numpy",
    "pandas", "pillow", "onnx", "onnxruntime", "skl2onnx", "mlflow",
)  # fmt: skip


def measure(
    signature: Signature, answer: Answer, data: PackedDataset, *, rows: int, about: About,
    environment: Environment | None = None,
) -> tuple[EvaluationReport, Scored, Examples]:  # fmt: skip
    """The report of the model that `answer`s raw inputs, on `data`; with its answers to the test split.

    Every row of the test split is scored, and of the others `rows` that are drawn at random, always the same ones.
    Raises DataError as `evaluate` does for the test split, and GateError for answers that are no numbers; another split
    that cannot be judged is left out.
    """
    examples = data.examples("test")
    scored = _scored(answer, examples)
    evaluation = evaluate(signature, scored, examples)
    scores = scored.scores.astype(np.float64)
    found, wrong = mistakes(signature, scores, examples)
    splits = [*_others(signature, answer, data, rows), SplitResult("test", len(examples.names), evaluation)]
    report = EvaluationReport(
        task=signature.task, kind=signature.kind, dataset=data.version.tag, dataset_digest=data.version.digest,
        target=data.version.column("target").name, splits=tuple(splits), mistakes=found, wrong=wrong, about=about,
        calibration=_calibration(signature, scores, examples) if signature.labels else None,
        residuals=None if examples.values is None else _residuals(scores[:, 0], examples.values),
        made_with=None if environment is None else made_with(environment),
    )  # fmt: skip
    return report, scored, examples


def made_with(environment: Environment) -> MadeWith:
    """What of an environment has a part in what a model answers."""
    known = {name.lower().replace("_", "-"): version for name, version in environment.packages.items()}
    return MadeWith(
        environment.python, environment.platform, {name: known[name] for name in _PACKAGES if name in known}
    )


def _others(signature: Signature, answer: Answer, data: PackedDataset, rows: int) -> Iterator[SplitResult]:
    there = {split.name: split.rows for split in data.version.splits}
    for name in SPLITS[:-1]:
        held = there.get(name, 0)
        evaluation = _part(signature, answer, data, name, min(rows, held)) if held and rows else None
        if evaluation is not None:
            yield SplitResult(name, held, evaluation)


def _part(signature: Signature, answer: Answer, data: PackedDataset, name: str, rows: int) -> Evaluation | None:
    held = data.split(name).rows
    chosen = None if rows == held else np.sort(np.random.default_rng(0).choice(held, rows, replace=False))
    examples = data.examples(name, chosen)
    try:
        return evaluate(signature, _scored(answer, examples), examples)
    except (InputError, GateError):  # a class or a value that came later than the model
        return None


def _scored(answer: Answer, examples: Examples) -> Scored:
    scored = score_inputs(answer, examples.inputs)
    without = int((~np.isfinite(scored.scores).all(axis=1)).sum())
    if without:
        raise GateError(
            f"the model has no number for {without} of {len(examples.names)} rows", "train it anew, at a lower rate"
        )
    return scored


def _calibration(signature: Signature, scores: NDArray[np.float64], examples: Examples) -> Calibration:
    position = {label: number for number, label in enumerate(signature.labels)}
    truth = np.fromiter((position[label] for label in examples.labels), np.int64, len(examples.labels))
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    sums = np.bincount(place, confidence, BINS)
    hits = np.bincount(place, right.astype(np.float64), BINS)
    means = sums / np.maximum(rows, 1)
    bins = tuple(Bin(*each) for each in zip(rows.tolist(), means.tolist(), hits.astype(int).tolist(), strict=True))
    return Calibration(bins, float(np.abs(sums - hits).sum() / len(truth)), float(confidence.mean()))


def _residuals(answer: NDArray[np.float64], truth: NDArray[np.float64]) -> Residuals:
    error = answer - truth
    random = np.random.default_rng(0)
    drawn = np.sort(random.choice(len(truth), min(_POINTS, len(truth)), replace=False))
    widest = float(np.quantile(np.abs(error), 0.995)) or 1.0
    bars = min(_BARS, 2 * round(len(error) ** (1 / 3)) + 1)  # Rice's rule; odd: one bar is around 0
    counts, edges = np.histogram(error.clip(-widest, widest), bars, (-widest, widest))
    points = tuple((float(truth[row]), float(answer[row])) for row in drawn)
    parts = np.array_split(np.argsort(truth, kind="stable"), min(10, len(truth)))
    deciles = tuple(_decile(truth[part], error[part]) for part in parts)
    return Residuals(points, tuple(edges.tolist()), tuple(counts.tolist()), deciles)


def _decile(truth: NDArray[np.float64], error: NDArray[np.float64]) -> Decile:
    return Decile(
        float(truth[0]), float(truth[-1]), len(truth), float(error.mean()), float(np.abs(error).mean()),
        float(np.sqrt((error**2).mean())),
    )  # fmt: skip
