"""How one model version looks on a terminal and in a pipe: the facts of its card, and where its page is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidemill.cli.tables import print_table

if TYPE_CHECKING:
    from tidemill.backends.registries.listing import Listed
    from tidemill.domain.bundle import Bundle
    from tidemill.domain.digest import Digest
    from tidemill.stages.evaluate import Evaluation
    from tidemill.stages.evaluation.records import EvaluationReport

_COLUMN = 22


def print_model(
    heading: str, bundle: Bundle, digest: Digest, report: EvaluationReport | None, page: Path | None,
    about: Listed | None = None,
) -> None:  # fmt: skip
    """What the bundle's record says, its evaluation report where it has one, and how people described the version."""
    signature, lineage = bundle.signature, bundle.lineage
    click.secho(heading, bold=True)
    click.echo(f"{signature.task} {signature.kind}" + (f", {len(signature.labels)} labels" if signature.labels else ""))
    if about is not None:
        _print_about(about)
    click.echo()
    if report is not None:
        _print_report(report)
    else:
        for name, value in bundle.metrics.items():
            _line(name, f"{value:.4f}")
    _print_export(bundle)
    if bundle.per_class:
        click.echo()
        print_classes(bundle.per_class)
    click.echo()
    for name, what in (
        ("bundle", digest), ("run", lineage.run), ("data", f"{lineage.dataset}  {lineage.dataset_digest}"),
        ("code", f"{lineage.commit}  {lineage.code}"), ("configuration", lineage.config),
        ("environment", lineage.environment), ("seed", lineage.seed),
        ("decision", lineage.decision or "none: trained by hand"),
        *([("made with", f"Python {report.made_with.python}, {report.made_with.platform}")]
          if report is not None and report.made_with is not None else []),
        ("page", page or "none: made by an earlier Tidemill;  tidemill evaluate MODEL  makes one"),
    ):  # fmt: skip
        _line(name, str(what))


def _print_about(about: Listed) -> None:
    """What anybody may write into the registry; a line each, whatever characters it has."""
    if about.description:
        click.echo(_plain(about.description))
    tags = [f"{name}={value}" for name, value in sorted(about.tags.items()) if not name.startswith("tidemill.")]
    if tags:
        click.echo(f"tags: {_plain(', '.join(tags))}")


def _plain(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in " ".join(text.split()))


def _print_report(report: EvaluationReport) -> None:
    print_metrics(report.test, "  ")
    if report.calibration is not None:
        _line("calibration error", f"{report.calibration.ece:.1%}  (ECE over 15 bins)")
    for split in report.splits[:-1]:
        found = split.evaluation
        main = "accuracy" if found.labels else "rmse"
        part = f"{found.rows:,} of {split.rows:,} rows" if found.rows < split.rows else f"{split.rows:,} rows"
        _line(f"{main}, {split.name}", f"{_figure(main, found.metrics[main])}  on {part}")
    about = report.about
    for name, words in (("intended use", about.intended_use), ("not for", about.not_for),
                        ("known limits", about.limits), ("contact", about.contact)):  # fmt: skip
        if words or name == "intended use":
            _line(name, " ".join(words.split()) or "not written down: set report.intended_use in conf/config.yaml")


def print_metrics(evaluation: Evaluation, indent: str = "") -> None:
    """A line a metric, with its 95 % confidence interval."""
    from tidemill.stages.evaluation.figures import interval

    for name, value in evaluation.metrics.items():
        found = evaluation.intervals.get(name)
        how = f"  {interval(name, found)}  {found.method}" if found is not None else ""
        _line(name, _figure(name, value) + how, indent)
    _line("rows", f"{evaluation.rows:,}", indent)


def _print_export(bundle: Bundle) -> None:
    parity = bundle.parity
    _line(
        "export", f"{parity.changed} of {parity.rows} decisions changed, largest difference "
        f"{parity.largest_difference:.2g}, {parity.latency_ms:.2g} ms a request",
    )  # fmt: skip


def print_classes(per_class: Mapping[str, Mapping[str, float]], weak: Mapping[str, float] | None = None) -> None:
    """A line a class; on a terminal those in `weak` stand out."""
    names = list(dict.fromkeys(name for row in per_class.values() for name in row))
    rows = [
        (label, *(_count(name, row[name]) if name in row else "" for name in names)) for label, row in per_class.items()
    ]
    if weak and sys.stdout.isatty():
        rows = [(f"{label} ◂" if label in weak else label, *figures) for label, *figures in rows]
    print_table(("class", *names), rows, right=names)


def _line(name: str, words: str, indent: str = "  ") -> None:
    click.echo(f"{indent}{name:<{_COLUMN}}{words}")


def _figure(name: str, value: float) -> str:
    from tidemill.stages.evaluation.figures import show

    return f"{show(name, value):<7}"


def _count(name: str, value: float) -> str:
    return f"{value:.0f}" if name == "support" else f"{value:.4f}"
