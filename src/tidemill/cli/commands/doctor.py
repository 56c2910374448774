"""Check that this machine and this project are fit for the loop."""

from __future__ import annotations

import sys

import click

from tidemill.cli.options import json_option, print_json
from tidemill.errors import StateError
from tidemill.project.doctor import Finding, examine
from tidemill.project.layout import find_project

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


@click.command(epilog="Example: tidemill doctor. Exit code 1 when something fails.")
@json_option
def command(as_json: bool) -> None:
    """Look at Python, the installed parts, git, DVC, disk, database, ledger and bundles; say what to mend."""
    try:
        layout = find_project()
    except StateError:
        layout = None
    findings = examine(layout)
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            _print(finding)
    sys.exit(1 if any(finding.verdict == "fail" for finding in findings) else 0)


def _print(finding: Finding) -> None:
    mark, colour = _MARKS[finding.verdict]
    click.echo(f"{click.style(mark, fg=colour, bold=True)} {finding.name:<14} {finding.detail}")
    if finding.remedy:
        click.echo(f"  {'':<14} {click.style(finding.remedy, dim=True)}")
