"""The exported graph against the model it came from, on every row of a split."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tidemill.domain.bundle import Parity
from tidemill.errors import GateError
from tidemill.ports import Scored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.config.schema import ExportConfig
    from tidemill.domain.bundle import Signature
    from tidemill.ports import Raw, Reporter, Session, SourceModel

BATCH = 256
_TIMED = 60  # requests whose median is the latency
_WARMUP = 10


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both answers on the same rows; `worst` are the positions of changed rows, the largest difference first."""

    parity: Parity
    source: Scored
    exported: Scored
    worst: tuple[int, ...]


def compare_exported(
    model: SourceModel,
    session: Session,
    preprocessor: Preprocessor,
    inputs: Sequence[Raw],
    config: ExportConfig,
    reporter: Reporter | None = None,
) -> Comparison:
    """Score every row with both; see `Parity` for what counts as changed."""
    sources, exporteds = [], []
    for start in range(0, len(inputs), BATCH):
        feed = preprocessor.prepare(inputs[start : start + BATCH])
        sources.append(model.score(feed))
        exporteds.append(session.run(feed))
        if reporter is not None:
            reporter.progress(min(start + BATCH, len(inputs)), len(inputs), "comparing the export with its source")
    source, exported = _joined(sources), _joined(exporteds)
    tolerance = allowed_difference(model.signature, source.scores, config.tolerance)
    difference = np.abs(exported.scores - source.scores).max(axis=1)
    difference[~np.isfinite(exported.scores).all(axis=1)] = np.inf
    if model.signature.kind == "regression":
        changed = difference > tolerance
    else:
        changed = (exported.scores.argmax(axis=1) != source.scores.argmax(axis=1)) | ~np.isfinite(difference)
    parity = Parity(
        rows=len(inputs),
        changed=int(changed.sum()),
        largest_difference=min(float(difference.max()), float(np.finfo(np.float32).max)),
        tolerance=tolerance,
        limit=config.max_changed,
        latency_ms=_latency(session, preprocessor, inputs),
    )
    order = np.flatnonzero(changed)
    return Comparison(parity, source, exported, tuple(order[np.argsort(-difference[order], kind="stable")].tolist()))


def allowed_difference(signature: Signature, scores: NDArray[np.float32], tolerance: float) -> float:
    """How far one score may be off: `tolerance` for probabilities.

    For regression it is `tolerance` standard deviations of the answers, and at least a thousandth of it times the
    largest, below which 32-bit floats do not reach.
    """
    if signature.kind == "classification":
        return tolerance
    largest = float(np.abs(scores).max(initial=0.0))
    return max(tolerance * float(scores.std()), tolerance * 1e-3 * largest, 1e-6 * tolerance)


def check_parity(name: str, comparison: Comparison, names: Sequence[str]) -> None:
    """Raises GateError with the share of changed rows, the limit and the worst of them."""
    parity = comparison.parity
    if parity.held:
        return
    worst = ", ".join(names[index] for index in comparison.worst[:5])
    raise GateError(
        f"the export of {name} is not its source: {parity.changed} of {parity.rows} test rows change "
        f"({parity.share:.2%}, allowed {parity.limit:.2%}), largest difference {parity.largest_difference:.3g}; "
        f"worst: {worst}",
        "look at those rows; export.max_changed sets how many may change",
    )


def _joined(parts: Sequence[Scored]) -> Scored:
    return Scored(np.concatenate([part.scores for part in parts]), np.concatenate([part.embedding for part in parts]))


def _latency(session: Session, preprocessor: Preprocessor, inputs: Sequence[Raw]) -> float:
    """Median milliseconds of the graph for one request, preprocessing not counted."""
    feeds = [preprocessor.prepare(inputs[index : index + 1]) for index in range(min(_TIMED, len(inputs)))]
    for feed in feeds[:_WARMUP]:
        session.run(feed)
    seconds = []
    for feed in feeds:
        started = time.perf_counter()
        session.run(feed)
        seconds.append(time.perf_counter() - started)
    return round(float(np.median(seconds)) * 1000, 4)
