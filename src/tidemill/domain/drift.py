"""What monitoring found in a window of traffic, and what the retrain policy made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tidemill.domain.digest import Digest


@dataclass(frozen=True, slots=True)
class Window:
    """The traffic of one model version between two instants."""

    model: str
    version: int
    since: datetime
    until: datetime
    rows: int
    labelled: int


@dataclass(frozen=True, slots=True)
class DriftTest:
    """One test of window against reference. `level` is after correction for the number of tests."""

    feature: str
    method: str
    statistic: float
    p_value: float
    level: float

    @property
    def drifted(self) -> bool:
        return self.p_value < self.level


@dataclass(frozen=True, slots=True)
class QualityEstimate:
    """A metric with its 95 % interval over `rows`; `method` says how ('labels', 'CBPE', 'reference')."""

    metric: str
    value: float
    low: float
    high: float
    rows: int
    method: str


@dataclass(frozen=True, slots=True)
class ClassQuality:
    """One class in the window: its share of the answers, and its accuracy where labels came (None: no label came)."""

    label: str
    predicted: int
    share: float
    reference_share: float
    labelled: int
    accuracy: float | None
    reference_accuracy: float | None


@dataclass(frozen=True, slots=True)
class DriftReport:
    """`reference` is the digest of the bundle whose reference sample the window was compared with."""

    id: str
    at: datetime
    window: Window
    reference: Digest
    tests: tuple[DriftTest, ...]
    baseline: QualityEstimate
    estimated: QualityEstimate | None
    labelled: QualityEstimate | None
    per_class: tuple[ClassQuality, ...]

    @property
    def drifted(self) -> tuple[DriftTest, ...]:
        return tuple(test for test in self.tests if test.drifted)


@dataclass(frozen=True, slots=True)
class RetrainDecision:
    """The policy's answer. `evidence` holds the figures that `reasons` speak of.

    `report` is the DriftReport's id, `report_digest` the digest of its JSON; `dataset` is the newest data version.
    """

    id: str
    at: datetime
    model: str
    verdict: Literal["retrain", "wait"]
    reasons: tuple[str, ...]
    report: str
    report_digest: Digest
    dataset: str
    dataset_digest: Digest
    evidence: Mapping[str, float]
