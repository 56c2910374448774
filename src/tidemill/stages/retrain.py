"""The retrain policy: from a report to a verdict, with reasons a person can check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidemill.config.schema import RetrainConfig
from tidemill.domain.dataset import DatasetVersion
from tidemill.domain.digest import Digest
from tidemill.domain.drift import DriftReport, QualityEstimate, RetrainDecision
from tidemill.stages.quality import wilson


@dataclass(frozen=True, slots=True)
class Finding:
    """One look at the report. `calls` for a new model, or not; `settles` says that labels leave nothing to estimate."""

    reason: str
    calls: bool = False
    settles: bool = False
    evidence: Mapping[str, float] = field(default_factory=dict)


def decide(
    report: DriftReport,
    config: RetrainConfig,
    *,
    report_digest: Digest,
    trained_on: DatasetVersion | None,
    newest: DatasetVersion,
    last_retrain: datetime | None,
    id: str,
    at: datetime,
) -> RetrainDecision:
    """Whether `report` calls for a new model.

    Labels decide when there are `min_labels` of them and their interval lies wholly on one side of the limit, the
    reference's quality less `max_drop` (accuracy: points; RMSE: relative). They also do when rows of classes that
    `trained_on`, the champion's data version, never showed cost more than `max_drop`. Where labels do not settle it,
    the estimate decides: wholly beyond the limit, or, with drift and `on_drift`, wholly worse than the reference.
    A retraining within `cooldown_hours` holds any verdict back.
    """
    findings = [_labels(report, config), *_unseen_classes(report, config, trained_on)]
    if not any(finding.settles for finding in findings):
        findings += [_estimate(report, config)]
    findings += [_drift(report)]
    calling = [finding for finding in findings if finding.calls]
    held_back = _cooldown(config, last_retrain, at) if calling else []
    evidence = _baseline(report, config)
    for finding in [*findings, *held_back]:
        evidence |= finding.evidence
    reasons = [finding.reason for finding in [*held_back, *(calling or findings)]]
    if calling:
        reasons.append(_data(trained_on, newest))
    return RetrainDecision(
        id=id,
        at=at,
        model=report.window.model,
        verdict="retrain" if calling and not held_back else "wait",
        reasons=tuple(reasons),
        report=report.id,
        report_digest=report_digest,
        dataset=newest.tag,
        dataset_digest=newest.digest,
        evidence=evidence,
    )


def limit(baseline: QualityEstimate, max_drop: float) -> float:
    """The worst quality that calls for nothing: accuracy less `max_drop`, or RMSE times 1 + `max_drop`."""
    return baseline.value - max_drop if baseline.metric == "accuracy" else baseline.value * (1 + max_drop)


def show(quality: QualityEstimate) -> str:
    """A quality with its interval, for a sentence."""
    low, high = show_value(quality.metric, quality.low), show_value(quality.metric, quality.high)
    return f"{show_value(quality.metric, quality.value)} [{low}, {high}]"


def show_value(metric: str, value: float) -> str:
    """An accuracy in percent, an error with four digits."""
    return f"{value:.1%}" if metric == "accuracy" else f"{value:.4g}"


def counted(number: int, noun: str) -> str:
    """'1 label', '1,200 labels'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def show_p(value: float) -> str:
    """A p-value, for a sentence; one that is too small for a float has a bound."""
    return f"p {value:.1g}" if value >= 1e-300 else "p < 1e-300"


def _beyond(quality: QualityEstimate, bound: float) -> bool:
    """Whether the whole interval is worse than `bound`."""
    return quality.high < bound if quality.metric == "accuracy" else quality.low > bound


def _within(quality: QualityEstimate, bound: float) -> bool:
    """Whether the whole interval is at least as good as `bound`."""
    return quality.low >= bound if quality.metric == "accuracy" else quality.high <= bound


def _apart(first: QualityEstimate, second: QualityEstimate) -> bool:
    return first.high < second.low or second.high < first.low


def _limit_in_words(report: DriftReport, config: RetrainConfig) -> str:
    baseline = report.baseline
    fall = (
        f"less {100 * config.max_drop:.3g} points"
        if baseline.metric == "accuracy"
        else f"plus {100 * config.max_drop:.3g} %"
    )
    bound = show_value(baseline.metric, limit(baseline, config.max_drop))
    return f"the limit {bound} (reference {show_value(baseline.metric, baseline.value)} {fall})"


def _baseline(report: DriftReport, config: RetrainConfig) -> dict[str, float]:
    return {
        "baseline": report.baseline.value,
        "limit": limit(report.baseline, config.max_drop),
        "rows": float(report.window.rows),
        "labels": float(report.window.labelled),
    }


def _figures(name: str, quality: QualityEstimate) -> dict[str, float]:
    return {name: quality.value, f"{name}_low": quality.low, f"{name}_high": quality.high}


def _labels(report: DriftReport, config: RetrainConfig) -> Finding:
    labelled = report.labelled
    if labelled is None:
        return Finding("no label has come for this window:  tidemill feedback PREDICTION_ID LABEL")
    evidence = _figures("labelled", labelled)
    if labelled.rows < config.min_labels:
        return Finding(f"{counted(labelled.rows, 'label')} to decide by: {config.min_labels} are needed",
                       evidence=evidence)  # fmt: skip
    bound = limit(report.baseline, config.max_drop)
    seen = f"labels show {labelled.metric} {show(labelled)} on {labelled.rows:,} answers"
    words = _limit_in_words(report, config)
    if _beyond(labelled, bound):
        return Finding(f"{seen}, worse than {words}", calls=True, settles=True, evidence=evidence)
    if _within(labelled, bound):
        return Finding(f"{seen}, within {words}", settles=True, evidence=evidence)
    return Finding(f"{seen}, which leaves open on which side of {words} it is", evidence=evidence)


def _unseen_classes(report: DriftReport, config: RetrainConfig, trained_on: DatasetVersion | None) -> list[Finding]:
    """Traffic of classes that training never saw. The reference has them too, so the baseline hides what they cost."""
    if trained_on is None or report.labelled is None or report.labelled.rows < config.min_labels:
        return []
    seen = trained_on.split("train").classes
    unseen = [c for c in report.per_class if c.labelled and not seen.get(c.label)]
    if not unseen:
        return []
    rows = sum(c.labelled for c in unseen)
    wrong = sum(round(c.labelled * (1 - (c.accuracy or 0.0))) for c in unseen)
    low, _ = wilson(wrong, report.labelled.rows)
    names = ", ".join(c.label for c in unseen[:8]) + (", …" if len(unseen) > 8 else "")
    reason = (
        f"{trained_on.tag} has no training rows of class {names}: {wrong} of {rows} such answers are wrong, "
        f"at least {low:.1%} of all labelled traffic (limit {config.max_drop:.1%})"
    )
    evidence = {"unseen_classes": float(len(unseen)), "unseen_labels": float(rows), "unseen_wrong": float(wrong)}
    return [Finding(reason, calls=low > config.max_drop, evidence=evidence)]


def _estimate(report: DriftReport, config: RetrainConfig) -> Finding:
    estimated = report.estimated
    if estimated is None:
        why = "cannot be estimated without labels" if report.baseline.metric == "rmse" else "was not estimated"
        return Finding(f"{report.baseline.metric} {why} on {report.window.rows:,} answers")
    evidence = _figures("estimated", estimated)
    seen = f"without labels, {estimated.metric} is estimated at {show(estimated)}"
    if report.labelled and report.labelled.rows >= config.min_labels and _apart(estimated, report.labelled):
        return Finding(f"{seen}, which the labels contradict: it does not count", evidence=evidence)
    if _beyond(estimated, limit(report.baseline, config.max_drop)):
        return Finding(f"{seen}, worse than {_limit_in_words(report, config)}", calls=True, evidence=evidence)
    if config.on_drift and report.drifted and _beyond(estimated, report.baseline.value):
        reference = show_value(report.baseline.metric, report.baseline.value)
        return Finding(f"{_drifted(report)}, and {seen}, worse than the reference's {reference}", calls=True,
                       evidence=evidence)  # fmt: skip
    return Finding(f"{seen}, not clearly worse than {_limit_in_words(report, config)}", evidence=evidence)


def _drifted(report: DriftReport) -> str:
    tests = [f"{test.feature} ({test.method}, {show_p(test.p_value)})" for test in report.drifted]
    return "drift in " + ", ".join(tests[:4]) + (f" and {len(tests) - 4} more" if len(tests) > 4 else "")


def _drift(report: DriftReport) -> Finding:
    evidence = {"tests": float(len(report.tests)), "drifted": float(len(report.drifted))}
    if not report.tests:
        return Finding(f"{counted(report.window.rows, 'answer')} to test for drift: too few", evidence=evidence)
    if not report.drifted:
        return Finding(f"no drift: none of {len(report.tests)} tests fired", evidence=evidence)
    return Finding(f"{_drifted(report)}: alone that calls for no new model", evidence=evidence)


def _cooldown(config: RetrainConfig, last: datetime | None, at: datetime) -> list[Finding]:
    if last is None or at - last >= timedelta(hours=config.cooldown_hours):
        return []
    hours = (at - last).total_seconds() / 3600
    reason = f"held back: the last retraining was {hours:.1f} h ago, the cooldown is {config.cooldown_hours:g} h"
    return [Finding(reason, evidence={"hours_since_retraining": hours, "cooldown_hours": config.cooldown_hours})]


def _data(trained_on: DatasetVersion | None, newest: DatasetVersion) -> str:
    if trained_on is None:
        return f"{newest.tag} ({newest.rows:,} rows) is the newest data"
    if trained_on.digest != newest.digest:
        return f"{newest.tag} ({newest.rows:,} rows) is newer than what the champion was trained on"
    return f"{newest.tag} is still the newest data, and what the champion was trained on: add more first"
