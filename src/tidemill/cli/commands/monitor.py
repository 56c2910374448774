"""Compare a model's traffic with its reference: drift, and quality with and without labels."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option, print_json
from tidemill.errors import InputError

if TYPE_CHECKING:
    from tidemill.domain.drift import ClassQuality, DriftReport, DriftTest, QualityEstimate

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SCALE = 36  # characters of an interval's drawing
_MAX_CLASSES = 10
_MAX_TESTS = 12


@click.command(
    epilog="Example: tidemill monitor digits --since 2h. Exit code 0 also when drift is found, unless --fail-on-drift."
)
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="A version's number; the champion's by default.")
@click.option("--since", metavar="TIME", help="Only answers since then: 2026-11-21T08:00, or 90m, 12h, 7d ago.")
@click.option("--fail-on-drift", is_flag=True, help="Exit with 1 when a drift test fired.")
@json_option
def command(name: str, version: int | None, since: str | None, fail_on_drift: bool, as_json: bool) -> None:
    """Report on the newest answers of the model NAME, in the terminal and as HTML."""
    start = None if since is None else instant(since)
    from tidemill.project import reports, watching
    from tidemill.project.layout import find_project

    layout = find_project()
    report = watching.monitor(layout, name, version=version, since=start)
    if as_json:
        print_json(report)
    else:
        _print(report)
        click.echo(f"\n{_heading('report')} {reports.page(layout, report.id)}")
    sys.exit(1 if fail_on_drift and report.drifted else 0)


def instant(text: str) -> datetime:
    """An ISO 8601 time (local when it names no zone), or how long ago. Raises InputError."""
    ago = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    try:
        if ago:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(f"{text[:60]!r} is no time", "give 2026-11-21T08:00, or how long ago: 90m, 12h, 7d") from None


def _print(report: DriftReport) -> None:
    from tidemill.stages.report_page import qualities, window_line

    version = f"{report.window.model}/{report.window.version}"
    click.echo(f"{click.style(version, bold=True)}  {window_line(report)}\n")
    _print_qualities(qualities(report))
    click.echo()
    _print_tests(report)
    if report.per_class:
        click.echo()
        _print_classes(report)


def _heading(word: str) -> str:
    return click.style(f"{word:<10}", fg="cyan")


def _print_qualities(lines: list[tuple[str, QualityEstimate]]) -> None:
    from tidemill.stages.retrain import show

    low = min(quality.low for _, quality in lines)
    width = max(quality.high for _, quality in lines) - low or 1.0
    click.echo(_heading(lines[0][1].metric))
    for name, quality in lines:
        left, at, right = (round((x - low) / width * _SCALE) for x in (quality.low, quality.value, quality.high))
        drawn = " " * left + "─" * (at - left) + "●" + "─" * (right - at)
        click.echo(f"  {name:<10} {show(quality):<24} {drawn:<{_SCALE + 1}}  {quality.rows:,} rows")


def _print_tests(report: DriftReport) -> None:
    fired = report.drifted
    if not report.tests:
        click.echo(f"{_heading('drift')} {report.window.rows:,} rows: too few to test")
        return
    if not fired:
        nearest = report.tests[0]
        click.echo(
            f"{_heading('drift')} none of {len(report.tests)} tests fired; nearest: {nearest.feature}, "
            f"p {nearest.p_value:.2g} (drift below {nearest.level:.2g})"
        )
        return
    click.echo(f"{_heading('drift')} {click.style(f'{len(fired)} of {len(report.tests)} tests fired', fg='red')}")
    width = min(40, max(len(test.feature) for test in fired))
    for test in fired[:_MAX_TESTS]:
        click.echo(f"  {test.feature[:40]:<{width}}  {test.method:<18}  {test.statistic:<8.3g}  {_p_value(test)}")
    if len(fired) > _MAX_TESTS:
        click.echo(f"  and {len(fired) - _MAX_TESTS} more")


def _p_value(test: DriftTest) -> str:
    from tidemill.stages.retrain import show_p

    return show_p(test.p_value)


def _print_classes(report: DriftReport) -> None:
    from tidemill.stages.report_page import worst_first

    lines = worst_first(report.per_class)
    width = min(30, max(len("class"), *(len(line.label) for line in lines[:_MAX_CLASSES])))
    columns = f"{'answers':>9} {'share':>7} {'(ref.)':>8} {'labels':>8} {'right':>7} {'(ref.)':>8}"
    click.echo(click.style(f"{'classes, worst first':<{width + 2}}", fg="cyan"))
    click.echo(click.style(f"  {'class':<{width}} {columns}", dim=True))
    for line in lines[:_MAX_CLASSES]:
        click.echo(_class_line(line, width))
    if len(lines) > _MAX_CLASSES:
        click.echo(f"  and {len(lines) - _MAX_CLASSES} more, in the report")


def _class_line(line: ClassQuality, width: int) -> str:
    def share(value: float | None) -> str:
        return "–" if value is None else f"{value:.1%}"

    right = f"{share(line.accuracy):>7}"
    if line.accuracy is not None and line.accuracy < (line.reference_accuracy or 0.0) - 0.1:
        right = click.style(right, fg="red")
    return (
        f"  {line.label[:30]:<{width}} {line.predicted:>9,} {line.share:>7.1%} {share(line.reference_share):>8} "
        f"{line.labelled:>8,} {right} {share(line.reference_accuracy):>8}"
    )
