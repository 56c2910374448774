"""How versions, promotions and the ledger look on a terminal and in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tidemill.cli.tables import mark, print_table
from tidemill.domain.registry import Event, ModelVersion, RegistryState

if TYPE_CHECKING:
    from tidemill.domain.bundle import Bundle
    from tidemill.domain.digest import Digest
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
                _quality(row["metrics"]),
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


def print_card(heading: str, bundle: Bundle, digest: Digest) -> None:
    """What bundle.json says, for a person."""
    signature, parity, lineage = bundle.signature, bundle.parity, bundle.lineage
    click.secho(heading, bold=True)
    click.echo(f"{signature.task} {signature.kind}" + (f", {len(signature.labels)} labels" if signature.labels else ""))
    click.echo()
    for name, value in bundle.metrics.items():
        click.echo(f"  {name:<22}{value:.4f}")
    click.echo(
        f"  {'export':<22}{parity.changed} of {parity.rows} decisions changed, largest difference "
        f"{parity.largest_difference:.2g}, {parity.latency_ms:.2g} ms a request"
    )
    if bundle.per_class:
        click.echo()
        names = list(dict.fromkeys(name for row in bundle.per_class.values() for name in row))
        rows = [
            (label, *(_figure(row[name]) if name in row else "" for name in names))
            for label, row in bundle.per_class.items()
        ]
        print_table(("class", *names), rows, right=names)
    click.echo()
    for name, what in (
        ("bundle", digest), ("run", lineage.run), ("data", f"{lineage.dataset}  {lineage.dataset_digest}"),
        ("code", f"{lineage.commit}  {lineage.code}"), ("configuration", lineage.config),
        ("environment", lineage.environment), ("seed", lineage.seed),
        ("decision", lineage.decision or "none: trained by hand"),
    ):  # fmt: skip
        click.echo(f"  {name:<22}{what}")


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


def print_history(events: Sequence[Event]) -> None:
    """A line an event, the oldest first."""
    print_table(
        ("when", "what", "detail", "who", "line"),
        [
            (f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}", event.kind.replace("_", " "), _detail(event), event.who,
             f"{event.sequence} {event.digest.short}")
            for event in events
        ],
    )  # fmt: skip


def _detail(event: Event) -> str:
    payload = event.payload
    match event.kind:
        case "registered":
            return f"{event.model}/{payload['version']} from {payload['dataset']}, {_quality(payload['metrics'])}"
        case "promoted":
            replaced = f" instead of {event.model}/{payload['replaced']}" if payload["replaced"] else ""
            forced = f", forced: {payload['forced']}" if payload["forced"] else ""
            return f"{event.model}/{payload['version']}{replaced}{forced}"
        case "rolled_back":
            reason = f": {payload['reason']}" if payload["reason"] else ""
            return f"from {event.model}/{payload['from']} to {event.model}/{payload['to']}{reason}"
        case "decided":
            return f"{payload['decision']['verdict']}: {'; '.join(payload['decision']['reasons'])}"
        case "reported":
            return f"report {payload['report']}" + (", drift" if payload["drifted"] else "")


def _alias(state: RegistryState, number: int) -> str | None:
    if number == state.champion:
        return "champion"
    return "challenger" if number == state.challenger else None


def _quality(metrics: Mapping[str, float]) -> str:
    name = next((name for name in _MAIN if name in metrics), None)
    if name is None:
        return ""
    return f"{name} {metrics[name]:.2%}" if name == "accuracy" else f"{name} {metrics[name]:.5g}"


def _figure(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and value > 1 else f"{value:.4f}"
