"""How versions, promotions and the ledger look on a terminal and in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tidemill.cli.tables import mark, print_table
from tidemill.domain.registry import Event, ModelVersion, RegistryState

if TYPE_CHECKING:
    from tidemill.project.layout import Layout

_MAIN = ("accuracy", "rmse")


def versions(layout: Layout) -> list[dict[str, Any]]:
    """Every version with what the ledger says of it, by model, the newest first."""
    from tidemill.project import models

    found = []
    for name in models.names(layout):
        state = models.state(layout, name)
        for event in reversed(models.history(layout, name)):
            if event.kind == "registered":
                number = event.payload["version"]
                found.append(
                    {
                        "model": name,
                        "version": number,
                        "alias": _alias(state, number),
                        "metrics": event.payload["metrics"],
                        "dataset": event.payload["dataset"],
                        "registered": event.at,
                        "bundle": event.payload["bundle"],
                        "run": event.payload["run"],
                    }
                )
    return found


def print_versions(rows: Sequence[Mapping[str, Any]]) -> None:
    """A line a version."""
    print_table(
        ("version", "alias", "quality", "data", "registered", "bundle"),
        [
            (
                f"{row['model']}/{row['version']}",
                row["alias"] or "",
                quality(row["metrics"]),
                row["dataset"],
                f"{row['registered'].astimezone():%Y-%m-%d %H:%M}",
                str(row["bundle"])[7:19],
            )
            for row in rows
        ],
    )


def title(version: ModelVersion, state: RegistryState) -> str:
    """The version with its alias."""
    alias = _alias(state, version.number)
    return f"{version} ({alias})" if alias else str(version)


def print_promotion(event: Event) -> None:
    """The new champion, and what it rests on."""
    payload = event.payload
    replaced = f", instead of {event.model}/{payload['replaced']}" if payload["replaced"] else ""
    click.secho(f"{event.model}/{payload['version']} is champion{replaced}", bold=True)
    evidence = payload["evidence"]
    if evidence is not None:
        click.echo(f"on the {evidence['rows']:,} test rows of {evidence['dataset']}:")
        for check in evidence["checks"]:
            click.echo(f"  {mark(check['held'])} {check['name']:<10} {check['detail']}")
    if payload["forced"]:
        click.secho(f"forced: {payload['forced']}", fg="yellow")
    if sys.stderr.isatty():
        click.echo(f"\nserve it:  tidemill serve {event.model}@champion", err=True)


def _alias(state: RegistryState, number: int) -> str | None:
    if number == state.champion:
        return "champion"
    return "challenger" if number == state.challenger else None


def quality(metrics: Mapping[str, float]) -> str:
    """The main figure of a version in words; empty where it has none."""
    name = next((name for name in _MAIN if name in metrics), None)
    if name is None:
        return ""
    return f"{name} {metrics[name]:.2%}" if name == "accuracy" else f"{name} {metrics[name]:.5g}"


def _figure(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and value > 1 else f"{value:.4f}"
