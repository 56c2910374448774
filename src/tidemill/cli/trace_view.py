"""How the way back from an answer, and the way down from data or a model, are printed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from tidemill.domain.record import to_plain

if TYPE_CHECKING:
    from tidemill.stages.descend import Descent, Offspring
    from tidemill.stages.trace import Link, Trace

_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "yellow")}


def print_trace(trace: Trace, *, files: bool) -> None:
    """A line a record; with `files` also one a file that was rehashed."""
    for link in trace.links:
        last = link is trace.links[-1]
        _print(link, last=last)
        width = max((len(file.path) for file in link.files), default=0)
        for file in link.files if files else ():
            mark, colour = _MARKS[file.verified]
            rail = " " if last else "│"
            click.echo(
                f"{click.style(rail, dim=True)} {'':<11} {click.style(mark, fg=colour)} {file.path:<{width}}  "
                f"{click.style(file.digest.short, dim=True)}"
            )


def shorten(text: str, width: int = 100) -> str:
    """`text` in one line of at most `width` characters; all of it is in --json."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _print(link: Link, *, last: bool) -> None:
    mark, colour = _MARKS[link.verified]
    digest = link.digest.short if link.digest else ""
    click.echo(
        f"{click.style(mark, fg=colour, bold=True)} {link.kind:<11} {link.name:<32} "
        f"{click.style(f'{digest:<12}', dim=True)}  {shorten(link.detail)}".rstrip()
    )
    rail = " " if last else "│"
    if link.reason:
        click.echo(f"{click.style(rail, dim=True)} {'':<11} {click.style(link.reason, fg=colour)}")


def print_descent(found: Descent) -> None:
    """The subject, then each version with its answers."""
    digest = found.digest.short if found.digest else ""
    total = f"{_counted(found.answers, 'answer')} of {_counted(len(found.versions), 'version')}"
    click.echo(f"{click.style(found.subject, bold=True)}  {click.style(digest, dim=True)}  {total}")
    for version in found.versions:
        last = version is found.versions[-1]
        mark, colour = _MARKS[not version.foreign]
        name = f"{version.name}/{version.number}"
        click.echo(
            f"{'└' if last else '├'} {click.style(mark, fg=colour, bold=True)} {name:<24} "
            f"{click.style(version.bundle.short, dim=True)}  {_said(version)}"
        )
        rail = " " if last else "│"
        if version.foreign:
            click.secho(
                f"{rail}   {_counted(version.foreign, 'answer')} of another bundle than the ledger names", fg="red"
            )
        for span in version.served:
            until = _minute(span.until) if span.until else "now"
            click.secho(f"{rail}   champion {_minute(span.since)} to {until}", dim=True)
    if found.ledger_problem:
        click.secho(found.ledger_problem, fg="red")


def plain(found: Descent) -> Mapping[str, Any]:
    """A descent as JSON has it, its totals included."""
    described: dict[str, Any] = to_plain(found)
    return {**described, "answers": found.answers, "verified": found.verified}


def _said(version: Offspring) -> str:
    said = _counted(version.answers, "answer")
    if version.first and version.last:
        said += f", {_minute(version.first)} to {_minute(version.last)}"
    return f"{said} · {version.dataset} · run {version.run[:12]}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
