"""The retrain policy: which figures call for a new model, and what it says about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tidemill.config.schema import RetrainConfig
from tidemill.domain.dataset import DatasetVersion, Split
from tidemill.domain.digest import Digest, canonical_json
from tidemill.domain.drift import ClassQuality, DriftReport, DriftTest, QualityEstimate, RetrainDecision, Window
from tidemill.domain.record import to_plain
from tidemill.stages.retrain import decide

AT = datetime(2026, 1, 2, tzinfo=UTC)
FIRED = DriftTest("brightness", "Kolmogorov-Smirnov", 0.4, 1e-9, 1e-4)
QUIET = DriftTest("confidence", "Kolmogorov-Smirnov", 0.01, 0.4, 1e-4)


def accuracy(value: float, half: float = 0.02, rows: int = 500, method: str = "labels") -> QualityEstimate:
    return QualityEstimate("accuracy", value, value - half, value + half, rows, method)


def rmse(value: float, half: float, method: str = "labels") -> QualityEstimate:
    return QualityEstimate("rmse", value, value - half, value + half, 500, method)


def report(
    *,
    baseline: QualityEstimate | None = None,
    estimated: QualityEstimate | None = None,
    labelled: QualityEstimate | None = None,
    tests: tuple[DriftTest, ...] = (QUIET,),
    per_class: tuple[ClassQuality, ...] = (),
) -> DriftReport:
    window = Window("digits", 1, AT - timedelta(hours=2), AT, 500, labelled.rows if labelled else 0)
    return DriftReport("R", AT, window, Digest.of_bytes(b"b"), tests,
                       baseline or accuracy(0.92, method="reference"), estimated, labelled, per_class)  # fmt: skip


def version(number: str, *classes: str) -> DatasetVersion:
    train = Split("train", 100, dict.fromkeys(classes, 50), ())
    return DatasetVersion("digits", number, "image", "classification", Digest.of_bytes(number.encode()), (), (train,))


def decided(made: DriftReport, config: RetrainConfig | None = None, *, last: datetime | None = None,
            trained_on: DatasetVersion | None = None) -> RetrainDecision:  # fmt: skip
    return decide(
        made,
        config or RetrainConfig(),
        report_digest=Digest.of_bytes(b"r"),
        trained_on=trained_on or version("1.0.0", "7", "8"),
        newest=version("2.0.0", "7", "8", "9"),
        last_retrain=last,
        id="D",
        at=AT,
    )


def test_labels_below_the_limit_call() -> None:
    decision = decided(report(labelled=accuracy(0.84), estimated=accuracy(0.92, method="CBPE")))
    assert decision.verdict == "retrain"
    assert decision.reasons[0] == (
        "labels show accuracy 84.0% [82.0%, 86.0%] on 500 answers, worse than the limit 87.0% "
        "(reference 92.0% less 5 points)"
    )
    assert "digits-v2.0.0 (100 rows) is newer" in decision.reasons[-1]
    assert decision.evidence["labelled_high"] == 0.86
    assert (decision.report, decision.dataset) == ("R", "digits-v2.0.0")
    assert canonical_json(to_plain(decision))


@pytest.mark.parametrize(
    ("labelled", "estimated", "verdict"),
    [
        (accuracy(0.86), None, "wait"),  # the interval holds the limit
        (accuracy(0.80, rows=29), None, "wait"),  # too few labels
        (accuracy(0.90), accuracy(0.70), "wait"),  # labels settle it, whatever the estimate says
        (accuracy(0.86, half=0.05), accuracy(0.70), "wait"),  # labels leave it open, but contradict the estimate
        (accuracy(0.84, half=0.05), accuracy(0.82), "retrain"),  # labels leave it open, the estimate decides
        (accuracy(0.80, rows=29), accuracy(0.82), "retrain"),
        (None, accuracy(0.82), "retrain"),
        (None, accuracy(0.86), "wait"),
        (None, None, "wait"),
    ],
)
def test_labels_first_then_the_estimate(
    labelled: QualityEstimate | None, estimated: QualityEstimate | None, verdict: str
) -> None:
    assert decided(report(labelled=labelled, estimated=estimated)).verdict == verdict


def test_drift_calls_only_with_an_estimate_that_fell() -> None:
    fallen, same = accuracy(0.88, method="CBPE"), accuracy(0.91, method="CBPE")
    assert decided(report(estimated=fallen)).verdict == "wait"
    assert decided(report(estimated=same, tests=(FIRED,))).verdict == "wait"
    decision = decided(report(estimated=fallen, tests=(FIRED,)))
    assert decision.verdict == "retrain"
    assert "drift in brightness (Kolmogorov-Smirnov, p 1e-09)" in decision.reasons[0]
    assert decided(report(estimated=fallen, tests=(FIRED,)), RetrainConfig(on_drift=False)).verdict == "wait"


def test_classes_that_training_never_saw_call_though_the_baseline_hides_them() -> None:
    lines = (
        ClassQuality("7", 90, 0.9, 0.9, 90, 1.0, 1.0),
        ClassQuality("9", 0, 0.0, 0.0, 30, 0.0, 0.0),
    )
    made = report(baseline=accuracy(0.8), labelled=accuracy(0.75, half=0.07, rows=120), per_class=lines)
    decision = decided(made)
    assert decision.verdict == "retrain"
    assert "digits-v1.0.0 has no training rows of class 9: 30 of 30 such answers are wrong" in decision.reasons[0]
    assert (decision.evidence["unseen_classes"], decision.evidence["unseen_wrong"]) == (1, 30)
    rare = replace(lines[1], labelled=2)
    assert decided(replace(made, per_class=(lines[0], rare))).verdict == "wait"
    assert decided(made, trained_on=version("2.0.0", "7", "9")).verdict == "wait"


def test_the_cooldown_holds_back_and_says_so() -> None:
    made, config = report(labelled=accuracy(0.7)), RetrainConfig(cooldown_hours=24)
    decision = decided(made, config, last=AT - timedelta(hours=3))
    assert decision.verdict == "wait"
    assert decision.reasons[0] == "held back: the last retraining was 3.0 h ago, the cooldown is 24 h"
    assert "labels show accuracy" in decision.reasons[1]
    assert decided(made, config, last=AT - timedelta(hours=25)).verdict == "retrain"


def test_regression_goes_by_the_relative_rise_of_the_error() -> None:
    baseline = rmse(100.0, 5.0, "reference")
    assert decided(report(baseline=baseline, labelled=rmse(112.0, 4.0))).verdict == "retrain"
    assert decided(report(baseline=baseline, labelled=rmse(106.0, 4.0))).verdict == "wait"
    silent = decided(report(baseline=baseline, tests=(FIRED,)))
    assert silent.verdict == "wait"
    assert any("cannot be estimated without labels" in reason for reason in silent.reasons)


def test_waiting_gives_its_reasons_too() -> None:
    reasons = decided(report(estimated=accuracy(0.92, method="CBPE"))).reasons
    assert len(reasons) == 3
    assert "no label has come" in reasons[0]
    assert "no drift: none of 1 tests fired" in reasons[2]


def test_the_same_data_is_named_as_the_obstacle() -> None:
    decision = decided(report(labelled=accuracy(0.7)), trained_on=version("2.0.0", "7"))
    assert decision.reasons[-1].endswith(
        "is still the newest data, and what the champion was trained on: add more first"
    )
