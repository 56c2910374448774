"""A model that may answer: opened, audited, loaded, and proven by its golden requests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.bundle.golden import read_golden, replay
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.read import open_bundle
from tidemill.domain.bundle import Bundle, Signature
from tidemill.domain.digest import Digest

if TYPE_CHECKING:
    from tidemill.ports import Raw, Runtime

_EXAMPLES = 2


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One version in service. `version` is 0 for a bundle that comes from no registry; `examples` are golden inputs."""

    name: str
    version: int
    digest: Digest
    predictor: Predictor
    examples: tuple[Raw, ...]

    @property
    def bundle(self) -> Bundle:
        return self.predictor.bundle

    @property
    def signature(self) -> Signature:
        return self.predictor.bundle.signature

    @property
    def full_name(self) -> str:
        return f"{self.name}/{self.version}"


def load_model(
    directory: Path, *, name: str, version: int, expected: Digest | None, runtime: Runtime, threads: int
) -> ServedModel:
    """Audit, load, replay the golden requests; only then is there a model.

    `threads` compute one batch. Raises BundleError where the audit fails, GateError where an answer differs.
    """
    opened = open_bundle(directory, expected=expected)
    session = runtime.load(directory, opened.bundle, threads=threads)
    replay(opened, session)
    examples = tuple(row.input for row in read_golden(opened)[:_EXAMPLES])
    return ServedModel(name, version, opened.digest, Predictor(opened, session), examples)
