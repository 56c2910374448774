"""How versions, promotions and the ledger look on a terminal and in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from tidemill.cli.tables import mark, print_table
from tidemill.domain.registry import Event, ModelVersion, RegistryState

_MAIN = ("accuracy", "rmse")


def asked_columns(where: str | None, sort: str | None) -> list[str]:
    """The metrics and tags that were asked for, so that the table shows them."""
    from tidemill.domain.where import parse_where
    from tidemill.project.finding import sort_key

    names = [sort_key(sort)[0]] if sort else []
    names += parse_where(where).names if where else []
    return [name for name in dict.fromkeys(names) if name.startswith(("metrics.", "tags."))]


def print_versions(rows: Sequence[Mapping[str, Any]], asked: Sequence[str] = ()) -> None:
    """A line a version; the metrics and tags in `asked` have a column each."""
    from tidemill.project.finding import flattened

    figures = [flattened(row) for row in rows]
    print_table(
        ("version", "alias", "quality", "data", "registered", "bundle", *(name.partition(".")[2] for name in asked)),
        [
            (
                f"{row['model']}/{row['version']}",
                row["alias"] or "",
                quality(row["metrics"]),
                row["dataset"],
                f"{row['registered'].astimezone():%Y-%m-%d %H:%M}",
                str(row["bundle"])[7:19],
                *(_cell(values.get(name)) for name in asked),
            )
            for row, values in zip(rows, figures, strict=True)
        ],
    )


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


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
