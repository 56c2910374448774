"""Drift reports as the page draws them: quality over time, features by reports, and the strip of alarms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

from tidemill.domain.digest import Digest
from tidemill.domain.drift import DriftReport, DriftTest, QualityEstimate, RetrainDecision
from tidemill.domain.prediction import is_prediction_id
from tidemill.domain.registry import Event
from tidemill.errors import NotFoundError, StorageError
from tidemill.project import reports
from tidemill.project.layout import Layout
from tidemill.project.viewing.records import (
    AlarmView,
    Change,
    DriftCell,
    DriftMap,
    DriftRow,
    QualityPoint,
    QualityView,
    ReportRow,
)

SHOWN = 48  # reports in the pictures
FEATURES = 6  # rows in the map


def read_reports(layout: Layout, events: Sequence[Event], number: int = SHOWN) -> list[DriftReport]:
    """The newest `number` reports that `events` of the ledger vouch for, oldest first, without lost or altered ones."""
    lines = [event.payload for event in events if event.kind == "reported"]
    found = (_read(layout, str(line["report"]), Digest(line["digest"])) for line in lines[-number:])
    return [report for report in found if report is not None]


def _read(layout: Layout, id: str, digest: Digest) -> DriftReport | None:
    try:
        changed = (layout.reports / id / reports.RECORD).stat().st_mtime_ns
        return _parse(layout, id, digest, changed)
    except (OSError, StorageError):
        return None


@lru_cache(maxsize=512)
def _parse(layout: Layout, id: str, digest: Digest, changed: int) -> DriftReport:
    """`changed` is in the key alone: a file that was written anew is read, and held to its digest, anew."""
    return reports.read(layout, id, digest)


def report_page(layout: Layout, id: str) -> str:
    """The HTML of a report. Raises NotFoundError."""
    if not has_page(layout, id):
        raise NotFoundError(f"no drift report {id[:80]!r} has a page", "see /drift")
    return (layout.reports / id / reports.PAGE).read_text(encoding="utf-8", errors="replace")


def has_page(layout: Layout, id: str) -> bool:
    """Whether the report has an HTML form beside its JSON."""
    return is_prediction_id(id) and (layout.reports / id / reports.PAGE).is_file()


def quality(
    found: Sequence[DriftReport], decisions: Sequence[RetrainDecision], promoted: Sequence[Event]
) -> QualityView | None:
    """Quality over the reports `found`. A version's limit is the one that the newest decision on it went by."""
    if not found:
        return None
    metric = found[-1].baseline.metric
    versions = {report.id: report.window.version for report in found}
    limits = {
        versions[decision.report]: decision.evidence["limit"]
        for decision in decisions
        if decision.report in versions and "limit" in decision.evidence
    }
    first = found[0].at
    changes = [_change(event, metric) for event in promoted if event.at > first]
    estimates = [report.estimated for report in found if report.estimated]
    return QualityView(
        metric=metric,
        share=metric == "accuracy",
        method=estimates[-1].method if estimates else "",
        points=tuple(_point(report) for report in found if report.baseline.metric == metric),
        limits=limits,
        changes=tuple(changes),
    )


def _change(event: Event, metric: str) -> Change:
    evidence = event.payload.get("evidence") or {}
    tested = evidence.get("challenger") if evidence.get("metric") == metric else None
    return Change(event.at, int(event.payload["version"]), tested)


def _point(report: DriftReport) -> QualityPoint:
    return QualityPoint(
        at=report.at,
        version=report.window.version,
        estimated=_figures(report.estimated),
        labelled=_figures(report.labelled),
        rows=report.window.rows,
        labels=report.window.labelled,
    )


def _figures(estimate: QualityEstimate | None) -> tuple[float, float, float] | None:
    return None if estimate is None else (estimate.value, estimate.low, estimate.high)


def alarms(found: Sequence[DriftReport]) -> tuple[AlarmView, ...]:
    """The last thirty. An alarm was false when labels put the window's quality in the reference's interval or above."""
    return tuple(
        AlarmView(report.id, report.at, bool(report.tests), bool(report.drifted), _harmless(report))
        for report in found[-30:]
    )


def _harmless(report: DriftReport) -> bool | None:
    labelled, baseline = report.labelled, report.baseline
    if labelled is None:
        return None
    worse = labelled.value < baseline.low if baseline.metric == "accuracy" else labelled.value > baseline.high
    return not worse


def drift_map(found: Sequence[DriftReport], features: int = FEATURES) -> DriftMap | None:
    """The strongest test of each feature in each of `found`; the `features` most drifted ones are shown."""
    tested = [report for report in found if report.tests]
    if not tested:
        return None
    by_feature: dict[str, dict[str, DriftTest]] = defaultdict(dict)
    for report in tested:
        for test in report.tests:
            known = by_feature[test.feature].get(report.id)
            if known is None or _surprise(test) < _surprise(known):
                by_feature[test.feature][report.id] = test
    order = sorted(by_feature, key=lambda name: min(map(_surprise, by_feature[name].values())))
    rows = tuple(
        DriftRow(name, tuple(_cell(report, by_feature[name].get(report.id)) for report in tested))
        for name in order[:features]
    )
    return DriftMap(tuple(report.at for report in tested), rows, len(order) - len(rows))


def _surprise(test: DriftTest) -> float:
    """The p-value in units of its level: below 1 the test fired."""
    return test.p_value / test.level if test.level else 1.0


def _cell(report: DriftReport, test: DriftTest | None) -> DriftCell | None:
    if test is None:
        return None
    return DriftCell(
        report=report.id,
        at=report.at,
        feature=test.feature,
        method=test.method,
        statistic=test.statistic,
        p_value=test.p_value,
        level=test.level,
        drifted=test.drifted,
    )


def report_row(layout: Layout, report: DriftReport) -> ReportRow:
    """`report` as a line of the list."""
    return ReportRow(
        id=report.id,
        at=report.at,
        version=report.window.version,
        rows=report.window.rows,
        labelled=report.window.labelled,
        drifted=tuple(dict.fromkeys(test.feature for test in report.drifted)),
        estimated=report.estimated.value if report.estimated else None,
        measured=report.labelled.value if report.labelled else None,
        html=has_page(layout, report.id),
    )
