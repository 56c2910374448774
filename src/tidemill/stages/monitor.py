"""Compares a window of traffic with the reference sample: did the inputs move, and how good are the answers?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tidemill.config.schema import MonitorConfig
from tidemill.domain.bundle import Signature
from tidemill.domain.digest import Digest
from tidemill.domain.drift import DriftReport, DriftTest, QualityEstimate, Window
from tidemill.ports import Detector
from tidemill.stages.answered import AnsweredRows
from tidemill.stages.quality import class_quality, estimated_accuracy, measured_accuracy, measured_rmse


def monitor(
    window: AnsweredRows,
    reference: AnsweredRows,
    detectors: Sequence[Detector],
    config: MonitorConfig,
    *,
    signature: Signature,
    span: Window,
    bundle: Digest,
    id: str,
    at: datetime,
    seed: int = 0,
) -> DriftReport:
    """The report on `window` (at least one row), whose place in time is `span`, against `reference` of `bundle`.

    `config.level` is the chance of any false alarm in the report: detectors share it evenly, and each shares its part
    among its own tests. Below `config.min_rows` rows nothing is tested or estimated; labels are always counted.
    """
    enough = len(window) >= config.min_rows
    regression = signature.kind == "regression"
    return DriftReport(
        id=id,
        at=at,
        window=span,
        reference=bundle,
        tests=_test(window, reference, detectors, config.level, seed) if enough else (),
        baseline=_measured(reference, "reference", regression, seed),
        estimated=None if regression or not enough else _estimated(window, reference, seed),
        labelled=_measured(window, "labels", regression, seed) if window.labelled.any() else None,
        per_class=() if regression else class_quality(
            signature.labels, (reference.answers, reference.truth), (window.answers, window.truth), window.labelled
        ),
    )  # fmt: skip


def _test(
    window: AnsweredRows, reference: AnsweredRows, detectors: Sequence[Detector], level: float, seed: int
) -> tuple[DriftTest, ...]:
    """Every detector's tests, the most surprising first."""
    tests = [
        test
        for detector in detectors
        for test in detector.compare(reference.sample, window.sample, level=level / len(detectors), seed=seed)
    ]
    return tuple(sorted(tests, key=lambda test: (test.p_value / test.level, test.feature)))


def _measured(rows: AnsweredRows, method: str, regression: bool, seed: int) -> QualityEstimate:
    return measured_rmse(rows.errors, method, seed=seed) if regression else measured_accuracy(rows.correct, method)


def _estimated(window: AnsweredRows, reference: AnsweredRows, seed: int) -> QualityEstimate:
    known = reference.confidence[reference.labelled]
    return estimated_accuracy(known, reference.correct, window.confidence, seed=seed)
