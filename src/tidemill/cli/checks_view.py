"""How the report of the checks on entry looks on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tidemill.dataset.checks.finding import Finding, Report

_MARKS = {"stop": ("✗", "red"), "leave-out": ("−", "yellow"), "note": ("•", "cyan")}
_WORDS = {"stop": "stops it", "leave-out": "left out", "note": "noted"}
_WIDTH = 160


def print_report(report: Report) -> bool:
    """Each finding on standard error: what, how many, the worst examples, what to do.

    One that stops the add and has nothing to say beyond the error that follows is left to it. Returns whether all that
    stops it was said.
    """
    alone = len(report.stopping) == 1 and report.stopping[0].count == 1
    for finding in report.findings:
        if not (alone and finding.action == "stop"):
            _print(finding)
    return bool(report.stopping) and not alone


def stopped(report: Report) -> tuple[str, str]:
    """Headline and remedy of the error that ends an add whose report was printed."""
    count = len(report.stopping)
    said = "the problem above stops it" if count == 1 else f"the {count} problems above stop it"
    return f"nothing was added: {said}", "" if count == 1 else "each says what to do; then run the same command again"


def _print(finding: Finding) -> None:
    mark, colour = _MARKS[finding.action]
    click.echo(
        f"{click.style(mark, fg=colour)} {click.style(finding.check.replace('_', ' '), bold=True)} "
        f"{click.style(f'({_WORDS[finding.action]})', fg=colour)}  {finding.headline}",
        err=True,
    )
    for example in finding.examples:
        shown = "".join(each if each.isprintable() else "?" for each in example)
        click.secho(f"    {shown[:_WIDTH]}", dim=True, err=True)
    if finding.count > len(finding.examples) > 0:
        click.secho(f"    … {finding.count:,} in all", dim=True, err=True)
    if finding.remedy and finding.action != "leave-out":
        click.echo(f"    {finding.remedy}", err=True)
