"""Decide whether a model should be retrained, say why, and do it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option, print_json
from tidemill.errors import InputError

if TYPE_CHECKING:
    from tidemill.domain.drift import RetrainDecision
    from tidemill.project.layout import Layout
    from tidemill.project.watching import Retrained


@click.command(
    epilog="Example: tidemill retrain digits --no-act. Exit code 0 whatever the verdict; 1 when the work failed."
)
@click.argument("name")
@click.option("--no-act", is_flag=True, help="Decide and say why, and do nothing.")
@click.option("--force", metavar="REASON", help="Retrain whatever the verdict; the reason goes into the ledger.")
@json_option
def command(name: str, no_act: bool, force: str | None, as_json: bool) -> None:
    """Let the policy decide on NAME's champion; if it calls for a new model, train it and promote it on evidence.

    The policy reads the latest report, and makes one when answers or labels came since.
    """
    if force is not None and not force.strip():
        raise InputError("--force needs a reason", "say why:  --force 'new camera since Monday'")
    from tidemill.project import watching
    from tidemill.project.layout import find_project

    layout = find_project()
    decision = watching.decide(layout, name, force=force)
    if not as_json:
        _print_decision(decision)
    done = _carry_out(layout, decision, act=not no_act, forced=force is not None)
    if as_json:
        print_json(done)
    else:
        _print_outcome(done)


def _carry_out(layout: Layout, decision: RetrainDecision, *, act: bool, forced: bool) -> Retrained:
    from tidemill.cli.progress import training_display
    from tidemill.project import watching

    if decision.verdict == "wait":
        return watching.carry_out(layout, decision)
    if not act:
        note = f"nothing was done; to act on it:  tidemill retrain {decision.model}"
        return watching.Retrained(decision, None, None, note)
    with training_display(f"{decision.model} · data {decision.dataset} · because of {decision.id}") as report:
        return watching.carry_out(layout, decision, report=report, forced=forced)


def _print_decision(decision: RetrainDecision) -> None:
    colour = "yellow" if decision.verdict == "retrain" else "green"
    click.echo(f"{click.style(decision.verdict, fg=colour, bold=True)}  {decision.model} on {decision.dataset}")
    for reason in decision.reasons:
        click.echo(f"  · {reason}")
    click.echo(click.style(f"  decision {decision.id}, from report {decision.report}", dim=True))


def _print_outcome(done: Retrained) -> None:
    from tidemill.domain.evidence import Evidence
    from tidemill.domain.record import from_plain
    from tidemill.stages.retrain import show_value

    if done.promotion is not None and done.promotion.payload["evidence"] is not None:
        evidence = from_plain(Evidence, done.promotion.payload["evidence"])
        champion = "" if evidence.champion is None else f"{show_value(evidence.metric, evidence.champion)} -> "
        challenger = show_value(evidence.metric, evidence.challenger)
        click.echo(f"{evidence.metric} {champion}{challenger} on the same {evidence.rows:,} rows")
    click.echo(done.note)
