"""The model card as Markdown: what a person wants to know of a version; the page beside it shows more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tidemill.domain.bundle import Bundle
from tidemill.stages.evaluation.figures import interval
from tidemill.stages.evaluation.keep import PAGE, read_report
from tidemill.stages.evaluation.records import About, EvaluationReport


def card(bundle: Bundle, folder: Path | None = None) -> str:
    """Markdown. `folder` holds the evaluation report that goes with the bundle, where there is one."""
    signature, lineage, parity = bundle.signature, bundle.lineage, bundle.parity
    report = None if folder is None else read_report(folder)
    what = f"{signature.task} {signature.kind}"
    more = f" More, with pictures: report/{PAGE}." if report is not None else ""
    sections = [
        f"# {bundle.name}\n\nA model for {what}, trained on {lineage.dataset}.{more}",
        _use(report.about) if report is not None else "",
        _metrics(bundle.metrics, report),
        _per_class(bundle.per_class),
        _table(
            "Export",
            ("", ""),
            [
                ("rows compared with the source model", f"{parity.rows:,}"),
                ("decisions changed", f"{parity.changed} (limit {parity.limit:.2%})"),
                ("largest difference", f"{parity.largest_difference:.3g}"),
                ("latency, one request, median", f"{parity.latency_ms:.3g} ms"),
            ],
        ),
        _table("Inputs", ("input", "type", "shape"), [(t.name, t.dtype, _shape(t.shape)) for t in signature.inputs]),
        _table(
            "Lineage",
            ("", ""),
            [
                ("run", lineage.run),
                ("data", f"{lineage.dataset}, {lineage.dataset_digest}"),
                ("code", f"{lineage.commit}, {lineage.code}"),
                ("configuration", str(lineage.config)),
                ("environment", str(lineage.environment)),
                ("seed", str(lineage.seed)),
                *([("decision", lineage.decision)] if lineage.decision else []),
            ],
        ),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _use(about: About) -> str:
    lines = (("Intended use", about.intended_use), ("Not for", about.not_for), ("Known limits", about.limits),
             ("Contact", about.contact))  # fmt: skip
    rows = [(name, words or "not written down") for name, words in lines if words or name == "Intended use"]
    return _table("Use", ("", ""), rows)


def _metrics(metrics: Mapping[str, float], report: EvaluationReport | None) -> str:
    if report is None:
        return _table("Metrics", ("metric", "value"), [(name, _figure(value)) for name, value in metrics.items()])
    known = report.test.intervals
    rows = [
        (name, _figure(value), interval(name, known.get(name)), known[name].method if name in known else "")
        for name, value in metrics.items()
    ]
    table = _table("Metrics", ("metric", f"on {report.test.rows:,} test rows", "95 % interval", "by"), rows)
    if report.calibration is None:
        return table
    return f"{table}\n\nExpected calibration error: {report.calibration.ece:.1%} (15 bins)."


def _per_class(per_class: Mapping[str, Mapping[str, float]]) -> str:
    if not per_class:
        return ""
    names = list(dict.fromkeys(name for row in per_class.values() for name in row))
    rows = [(label, *(_figure(row[name]) if name in row else "" for name in names)) for label, row in per_class.items()]
    return _table("Per class", ("class", *names), rows)


def _table(title: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in (header, *rows)]
    lines.insert(1, "|" + " --- |" * len(header))
    return f"## {title}\n\n" + "\n".join(lines)


def _cell(text: str) -> str:
    """Text that came from data or settings, so that it stays inside its cell and is no markup."""
    flat = " ".join(text.split())
    return "".join(f"\\{character}" if character in "\\|`*_<>[]!#" else character for character in flat)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join("any" if size == -1 else str(size) for size in shape)


def _figure(value: float) -> str:
    return f"{value:.4f}" if not float(value).is_integer() else f"{value:g}"
