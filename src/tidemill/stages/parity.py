"""The exported graph against the model it came from, on every row of a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tidemill.domain.bundle import Latency, Parity, Precision
from tidemill.errors import GateError
from tidemill.ports import Scored

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.config.schema.export import LimitsConfig
    from tidemill.dataset.read import Examples
    from tidemill.domain.bundle import Signature
    from tidemill.ports import Feed, Raw, Reporter

    Scorer = Callable[[Feed], Scored]
    """What answers a batch: a source model's `score`, or a session's `run`."""

BATCH = 256
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both answers on the same rows.

    `difference` [N] is the largest of each row's scores. `order` are all positions, those of changed rows first, and
    among equals the largest difference first.
    """

    parity: Parity
    source: Scored
    exported: Scored
    difference: NDArray[np.float32]
    order: NDArray[np.int64]

    @property
    def worst(self) -> tuple[int, ...]:
        """The positions of changed rows, the largest difference first."""
        found: list[int] = self.order[: self.parity.changed].tolist()
        return tuple(found)


def score_rows(
    scorers: Mapping[str, Scorer],
    preprocessor: Preprocessor,
    inputs: Sequence[Raw],
    reporter: Reporter | None = None,
) -> dict[str, Scored]:
    """What each of `scorers` answers, by its name; the rows are prepared once, in batches of 256."""
    parts: dict[str, list[Scored]] = {name: [] for name in scorers}
    for start in range(0, len(inputs), BATCH):
        feed = preprocessor.prepare(inputs[start : start + BATCH])
        for name, scorer in scorers.items():
            parts[name].append(scorer(feed))
        if reporter is not None:
            reporter.progress(min(start + BATCH, len(inputs)), len(inputs), "comparing the export with its source")
    return {name: _joined(found) for name, found in parts.items()}


def one_by_one(scorer: Scorer) -> Scorer:
    """`scorer` asked for each row alone: with int8_dynamic an answer depends on the rows beside it."""

    def score(feed: Feed) -> Scored:
        rows = len(next(iter(feed.values())))
        return _joined([scorer({name: values[i : i + 1] for name, values in feed.items()}) for i in range(rows)])

    return score


@dataclass(frozen=True, slots=True)
class Measured:
    """Sizes in bytes and latencies: the export's, and its source's."""

    bytes: int
    source_bytes: int
    latency: Latency
    source_latency: Latency


def judge(
    signature: Signature,
    examples: Examples,
    source: Scored,
    exported: Sequence[Scored],
    *,
    precision: Precision,
    limits: LimitsConfig,
    measured: Measured,
) -> Comparison:
    """Compare the answers; see `Parity` for what counts as changed.

    `exported` are the export's answers in one or more ways (in batches, alone): of each row the worst of them counts.
    """
    tolerance = allowed_difference(signature, source.scores, limits.tolerance)
    difference = np.max([_difference(source, each) for each in exported], axis=0)
    changed = np.any([_changed(signature, source, each, tolerance) for each in exported], axis=0)
    lost = [_losses(signature, examples, source, each, limits) for each in exported]
    label, class_loss, class_limit = max((each[1] for each in lost), key=lambda found: found[1] - found[2])
    parity = Parity(
        rows=len(difference),
        changed=int(changed.sum()),
        largest_difference=min(float(difference.max()), float(np.finfo(np.float32).max)),
        tolerance=tolerance,
        limit=limits.max_changed,
        latency_ms=measured.latency.one_ms,
        precision=precision,
        loss=max(each[0] for each in lost),
        loss_limit=limits.max_loss,
        worst_class=label,
        class_loss=class_loss,
        class_loss_limit=class_limit,
        bytes=measured.bytes,
        source_bytes=measured.source_bytes,
        batch_latency_ms=measured.latency.batch_ms,
        source_latency=measured.source_latency,
    )
    return Comparison(parity, source, exported[0], difference, np.lexsort((-difference, ~changed)))


def allowed_difference(signature: Signature, scores: NDArray[np.float32], tolerance: float) -> float:
    """How far one score may be off: `tolerance` for probabilities.

    For regression it is `tolerance` standard deviations of the answers, and at least a millionth of the largest, below
    which 32-bit floats do not reach.
    """
    if signature.kind == "classification":
        return tolerance
    largest = float(np.abs(scores).max(initial=0.0))
    return max(tolerance * float(scores.std()), 1e-6 * largest, 1e-6 * tolerance)


def check_parity(name: str, comparison: Comparison, names: Sequence[str], page: Path | None = None) -> None:
    """Raises GateError with what is past its limit, the worst rows, and where the `page` is that shows them."""
    parity = comparison.parity
    if parity.held:
        return
    worst = ", ".join(names[index] for index in comparison.order[:_SHOWN])
    what = "export" if parity.precision == "float32" else f"{parity.precision} export"
    section = "export" if parity.precision == "float32" else f"export.{parity.precision}"
    raise GateError(
        f"the {what} of {name} is not its source: {'; '.join(parity.exceeded)}; "
        f"largest difference {parity.largest_difference:.3g}; worst: {worst}",
        f"look at those rows{f' ({page})' if page else ''}; {section}.max_changed, max_loss and max_class_loss set "
        "how much may change",
    )


def _difference(source: Scored, exported: Scored) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.abs(exported.scores - source.scores).max(axis=1)
    found[~np.isfinite(exported.scores).all(axis=1)] = np.inf
    return found


def _changed(signature: Signature, source: Scored, exported: Scored, tolerance: float) -> NDArray[np.bool_]:
    difference = _difference(source, exported)
    if signature.kind == "regression":
        return difference > tolerance
    changed: NDArray[np.bool_] = exported.scores.argmax(axis=1) != source.scores.argmax(axis=1)
    return changed | ~np.isfinite(difference)


def _losses(
    signature: Signature, examples: Examples, source: Scored, exported: Scored, limits: LimitsConfig
) -> tuple[float, tuple[str, float, float]]:
    """Loss overall; and the class that is nearest to its limit, or furthest past it, with its loss and limit.

    One row of a class may always change: of a class with 20 rows it is 5 % of the accuracy.
    """
    if signature.kind == "regression":
        truth = np.asarray(examples.values, np.float64)
        before, after = (_r2(truth, each.scores[:, 0].astype(np.float64)) for each in (source, exported))
        return max(-1.0, min(1e9, before - after)), ("", 0.0, limits.max_class_loss)
    truth = np.asarray([signature.labels.index(label) for label in examples.labels])
    right = [(each.scores.argmax(axis=1) == truth).astype(np.int64) for each in (source, exported)]
    fewer = right[0] - right[1]
    classes = []
    for index, label in enumerate(signature.labels):
        rows = int((truth == index).sum())
        if rows:
            lost = float(fewer[truth == index].sum()) / rows
            classes.append((label, lost, max(limits.max_class_loss, 1 / rows)))
    return float(fewer.mean()), max(classes, key=lambda found: found[1] - found[2])


def _r2(truth: NDArray[np.float64], given: NDArray[np.float64]) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1.0 - float(((truth - given) ** 2).sum()) / spread if spread else 0.0


def _joined(parts: Sequence[Scored]) -> Scored:
    return Scored(np.concatenate([part.scores for part in parts]), np.concatenate([part.embedding for part in parts]))
