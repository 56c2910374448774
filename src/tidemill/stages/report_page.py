"""A drift report as one HTML file that needs nothing else: light and dark, no script, no network."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidemill.domain.drift import ClassQuality, DriftReport, QualityEstimate
from tidemill.stages.answered import AnsweredRows
from tidemill.stages.page_style import STYLE
from tidemill.stages.report_charts import distribution, intervals, reliability
from tidemill.stages.retrain import show, show_value

_MAX_CHARTS = 8
_MAX_CLASSES = 200


def render(report: DriftReport, reference: AnsweredRows, window: AnsweredRows) -> str:
    """The page of `report`, which was made from these rows."""
    version = f"{report.window.model}/{report.window.version}"
    sections = [_quality(report), _drift(report), *_charts(report, reference, window), *_reliability(report, reference,
                window), *_classes(report)]  # fmt: skip
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(version)} · drift report</title><style>{STYLE}</style></head><body>"
        f"<header><h1>{escape(version)} <span>· drift report</span></h1>{_pill(report)}</header>"
        f"<main>{''.join(f'<section>{section}</section>' for section in sections)}"
        f'<p class="mono">report {escape(report.id)} · against the reference of bundle {report.reference}</p>'
        "</main></body></html>\n"
    )


def _pill(report: DriftReport) -> str:
    if not report.tests:
        return '<span class="pill">too few answers to test</span>'
    if report.drifted:
        return f'<span class="pill warn">drift in {len(report.drifted)} of {len(report.tests)} tests</span>'
    return f'<span class="pill">no drift in {len(report.tests)} tests</span>'


def window_line(report: DriftReport) -> str:
    """How many answers of when, in words."""
    span = report.window
    times = [at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") for at in (span.since, span.until)]
    return f"{span.rows:,} answers, {span.labelled:,} with a label, from {times[0]} to {times[1]} UTC"


def qualities(report: DriftReport) -> list[tuple[str, QualityEstimate]]:
    """What is known of the quality, by how it is known."""
    lines = (("reference", report.baseline), ("estimated", report.estimated), ("labelled", report.labelled))
    return [(name, quality) for name, quality in lines if quality is not None]


def _quality(report: DriftReport) -> str:
    lines = qualities(report)
    return (
        f"<h2>Quality: {escape(report.baseline.metric)}</h2>"
        + intervals(lines, [show(quality) for _, quality in lines])
        + f"<p>{escape(window_line(report))}</p>"
    )


def _drift(report: DriftReport) -> str:
    if not report.tests:
        return f"<h2>Drift</h2><p>{report.window.rows:,} answers are too few to test.</p>"
    rows = "".join(
        f'<tr><td>{escape(test.feature)}</td><td>{escape(test.method)}</td><td class="n">{test.statistic:.4g}</td>'
        f'<td class="n">{test.p_value:.2g}</td><td class="n">{test.level:.2g}</td>'
        f'<td class="n {"bad" if test.drifted else "good"}">{"drift" if test.drifted else "·"}</td></tr>'
        for test in report.tests
    )
    return (
        '<h2>Drift tests</h2><table><tr><th>feature</th><th>test</th><th class="n">statistic</th><th class="n">p</th>'
        f'<th class="n">drift below</th><th></th></tr>{rows}</table>'
    )


def _charts(report: DriftReport, reference: AnsweredRows, window: AnsweredRows) -> Iterator[str]:
    """Distributions of the drifted features; of the answers where none drifted."""
    chosen = [test.feature for test in report.drifted] or ["confidence", "predicted class", "value"]
    drawn = [(name, _values(name, reference, window)) for name in chosen]
    charts = [f"<div><h3>{escape(name)}</h3>{distribution(name, *values)}</div>" for name, values in drawn if values]
    if charts:
        together = "".join(charts[:_MAX_CHARTS])
        yield f'<h2>Distributions: reference filled, window in colour</h2><div class="charts">{together}</div>'


def _values(name: str, reference: AnsweredRows, window: AnsweredRows) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """What a test by this name looked at, of reference and window; of embeddings, the direction between the means."""
    known, asked = reference.sample, window.sample
    if name in known.columns and name in asked.columns:
        return known.columns[name], asked.columns[name]
    if name.removesuffix(" missing") in known.columns:
        column = name.removesuffix(" missing")
        return _presence(known.columns[column]), _presence(asked.columns[column])
    if name == "embedding":
        direction = asked.embedding.mean(axis=0) - known.embedding.mean(axis=0)
        return known.embedding @ direction, asked.embedding @ direction
    if known.scores.shape[1] == 1:
        return (reference.answers, window.answers) if name == "value" else None
    answers = {"confidence": (reference.confidence, window.confidence),
               "predicted class": (reference.answers, window.answers)}  # fmt: skip
    return answers.get(name)


def _presence(values: NDArray[Any]) -> NDArray[np.str_]:
    return np.where(np.isfinite(values), "present", "missing")


def _reliability(report: DriftReport, reference: AnsweredRows, window: AnsweredRows) -> Iterator[str]:
    if report.baseline.metric == "accuracy":
        chart = reliability(
            (reference.confidence[reference.labelled], reference.correct),
            (window.confidence[window.labelled], window.correct),
        )
        yield (
            "<h2>What a confidence is worth</h2><p>The estimate without labels reads the window's confidences by the "
            "reference's line; labelled answers far from it say that it misleads.</p>"
            f'<div class="charts"><div>{chart}</div></div>'
        )


def _classes(report: DriftReport) -> Iterator[str]:
    if not report.per_class:
        return
    lines = worst_first(report.per_class)[:_MAX_CLASSES]
    rows = "".join(
        f'<tr><td>{escape(line.label)}</td><td class="n">{line.predicted:,}</td><td>{_meter(line.share)}</td>'
        f'<td class="n">{line.reference_share:.1%}</td><td class="n">{line.labelled:,}</td>'
        f'<td class="n">{_share(line.accuracy)}</td><td class="n">{_share(line.reference_accuracy)}</td></tr>'
        for line in lines
    )
    yield (
        '<h2>Classes, worst first</h2><table><tr><th>class</th><th class="n">answers</th><th>share</th>'
        '<th class="n">share in reference</th><th class="n">labels</th><th class="n">right</th>'
        f'<th class="n">right in reference</th></tr>{rows}</table>'
    )


def worst_first(lines: tuple[ClassQuality, ...]) -> list[ClassQuality]:
    """By accuracy where labels came, then by the reference's."""

    def key(line: ClassQuality) -> tuple[bool, float]:
        known = line.accuracy if line.accuracy is not None else line.reference_accuracy
        return line.accuracy is None, 1.0 if known is None else known

    return sorted(lines, key=key)


def _share(value: float | None) -> str:
    return "–" if value is None else show_value("accuracy", value)


def _meter(share: float) -> str:
    return f'<span class="meter"><i style="width:{100 * share:.1f}%"></i></span> {share:.1%}'
