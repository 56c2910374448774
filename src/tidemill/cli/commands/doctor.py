"""Check that this machine and this project are fit for the loop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option, print_json

if TYPE_CHECKING:
    from tidemill.project.doctor import Finding
    from tidemill.stages.profile import Diagnosis

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}
_PARTS = {
    "data": "waiting for the next batch",
    "transfer": "copying it to the device",
    "compute": "forward, backward, optimizer",
    "logging": "telling trackers",
}
_WIDTH = 30  # of a whole step, as a bar


@click.group(
    invoke_without_command=True,
    epilog="Example: tidemill doctor. Exit code 1 when something fails.  For a network: tidemill doctor train",
)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Look at Python, the installed parts, git, DVC, disk, database, ledger and bundles; say what to mend."""
    if context.invoked_subcommand is not None:
        return
    from tidemill.errors import StateError
    from tidemill.project.doctor import examine
    from tidemill.project.layout import find_project

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


@command.command(epilog="Example: tidemill doctor train model=resnet18 data.cache_gb=0")
@click.argument("settings", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--seconds", type=click.FloatRange(5, 3600), default=30.0, show_default=True, help="About how long to clock."
)
@json_option
def train(settings: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Clock some steps of the training that SETTINGS describe: what bounds it, and what other settings would gain.

    For networks only: boosted trees and scikit-learn have no steps to clock. SETTINGS are those of tidemill train.
    Nothing is kept or registered, and the project's tracker hears nothing.
    """
    from tidemill.cli.bars import bar
    from tidemill.project.layout import find_project
    from tidemill.project.profiling import profile_training

    layout = find_project()
    with bar() as report:
        diagnosis = profile_training(layout, settings, seconds=seconds, report=report)
    if as_json:
        print_json(_plain(diagnosis))
    else:
        _show(diagnosis)


def _show(diagnosis: Diagnosis) -> None:
    from tidemill.cli.tables import print_table

    times = diagnosis.times
    rows = times.rows / times.steps * diagnosis.present
    click.secho(f"{diagnosis.verdict}", bold=True, nl=False)
    click.echo(f"  ·  {1000 / diagnosis.present:,.1f} ms a step, {rows:,.0f} rows/s\n")
    for name, share in diagnosis.shares.items():
        filled = round(share * _WIDTH)
        drawn = click.style("█" * filled, fg="cyan") + click.style("·" * (_WIDTH - filled), dim=True)
        click.echo(f"{name:<9} {drawn} {share:>6.1%}  {click.style(_PARTS[name], dim=True)}")
    click.echo()
    table = [
        (each.setting.what, f"{each.steps_per_second:.2f}", f"{each.gain:+.0%}", " ".join(each.setting.overrides))
        for each in diagnosis.tried
    ]
    print_table(("tried", "steps/s", "gain", "settings"), table, right=("steps/s", "gain"))
    if diagnosis.best is None:
        click.echo("nothing tried is better by more than 5 %: leave it as it is")
    else:
        click.echo(f"{diagnosis.best.gain:+.0%} with:  tidemill train … {' '.join(diagnosis.best.setting.overrides)}")


def _plain(diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "verdict": diagnosis.verdict,
        "shares": diagnosis.shares,
        "steps_per_second": diagnosis.present,
        "times": diagnosis.times._asdict(),
        "tried": diagnosis.tried,
        "advice": list(diagnosis.best.setting.overrides) if diagnosis.best else [],
    }
