"""What a training run was made of: RunSpec names every parent by digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tidemill.domain.digest import Digest
from tidemill.domain.record import to_plain


@dataclass(frozen=True, slots=True)
class Code:
    """The project's code: a git commit, and the digest of what differs from it (None when the tree is clean)."""

    commit: str
    dirty: Digest | None

    @property
    def digest(self) -> Digest:
        return Digest.of_json(to_plain(self))


@dataclass(frozen=True, slots=True)
class Environment:
    """Interpreter, platform and every installed distribution with its version."""

    python: str
    platform: str
    packages: Mapping[str, str]

    @property
    def digest(self) -> Digest:
        return Digest.of_json(to_plain(self))


@dataclass(frozen=True, slots=True)
class RunSpec:
    """All that determines a run. `config` is the composed configuration as plain values.

    `decision` is the id of the RetrainDecision that asked for this run, when one did: there the loop closes.
    """

    model: str
    config: Mapping[str, Any]
    seed: int
    code: Code
    environment: Environment
    dataset: str
    dataset_digest: Digest
    decision: str | None = None

    @property
    def config_digest(self) -> Digest:
        return Digest.of_json(to_plain(self.config))

    @property
    def digest(self) -> Digest:
        return Digest.of_json(to_plain(self))


@dataclass(frozen=True, slots=True)
class Run:
    """A run of training, under the id that the tracker gave it."""

    id: str
    spec: RunSpec
    status: Literal["running", "finished", "failed", "killed"]
    started: datetime
    metrics: Mapping[str, float] = field(default_factory=dict)
