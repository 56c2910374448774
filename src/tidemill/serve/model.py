"""A model that may answer: opened, audited, loaded, and proven by its golden requests."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.bundle.golden import GoldenRow, read_golden, replay
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.prove import VersionedRuntime, prove
from tidemill.domain.bundle import Bundle, Signature
from tidemill.domain.digest import Digest

if TYPE_CHECKING:
    from tidemill.ports import Raw

_EXAMPLES = 2
_BATCH, _RUNS, _LONG = 16, 5, 0.2  # rows; runs of each size, fewer where they take longer than so many seconds in all
_LIGHT = 0.005  # seconds of one row, up to which a graph is run by one thread


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One version in service. `version` is 0 for a bundle that comes from no registry."""

    name: str
    version: int
    digest: Digest
    predictor: Predictor
    golden: tuple[GoldenRow, ...]
    seconds: tuple[tuple[int, float], tuple[int, float]]
    """Rows of a small and of a larger batch, and the least time that each took here."""
    workers: int = 2
    """How many batches are computed side by side."""

    @property
    def bundle(self) -> Bundle:
        return self.predictor.bundle

    @property
    def signature(self) -> Signature:
        return self.predictor.bundle.signature

    @property
    def examples(self) -> tuple[Raw, ...]:
        """Inputs that it answers."""
        return tuple(row.input for row in self.golden[:_EXAMPLES])

    @property
    def full_name(self) -> str:
        return f"{self.name}/{self.version}"


def load_model(
    directory: Path, *, name: str, version: int, expected: Digest | None, runtime: VersionedRuntime, threads: int,
    proofs: Path | None,
) -> ServedModel:  # fmt: skip
    """Audit, try elsewhere what `proofs` does not know, load, replay the golden requests; only then is there a model.

    `threads` compute: one batch of a heavy graph, in which they share each operator, or as many of a light one side by
    side, where meeting after each operator would cost more than it gains. Raises BundleError where the audit fails,
    GateError where an answer differs.
    """
    opened = prove(directory, expected, runtime=runtime, proofs=proofs)
    golden = tuple(read_golden(opened))
    inputs = [row.input for row in golden]
    predictor = Predictor(opened, runtime.load(directory, opened.bundle, threads=1))
    one, workers = _clocked(predictor, inputs, 1), max(2, threads)
    if one[1] > _LIGHT and threads > 1:
        predictor = Predictor(opened, runtime.load(directory, opened.bundle, threads=threads))
        one, workers = _clocked(predictor, inputs, 1), 2
    replay(opened, predictor.session)
    return ServedModel(
        name, version, opened.digest, predictor, golden, (one, _clocked(predictor, inputs, _BATCH)), workers
    )


def _clocked(predictor: Predictor, inputs: Sequence[Raw], rows: int) -> tuple[int, float]:
    """The least of some runs, which also make the model warm."""
    batch = list(itertools.islice(itertools.cycle(inputs), rows))
    taken = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        predictor.score(batch)
        taken.append(time.perf_counter() - began)
        if sum(taken) > _LONG:
            break
    return rows, min(taken)
