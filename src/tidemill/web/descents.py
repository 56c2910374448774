"""The way down, as pictures: for each model version the data that it learned from, its run, and its answers."""

from __future__ import annotations

from tidemill.project.viewing.records import LineageView, Node
from tidemill.stages.descend import Descent, Offspring


def descents(found: Descent) -> list[LineageView]:
    """A chain a version, the newest first."""
    return [LineageView(f"{each.name}/{each.number}", _nodes(found, each)) for each in reversed(found.versions)]


def _nodes(found: Descent, version: Offspring) -> tuple[Node, ...]:
    digest = str(found.digest or "") if found.kind == "data" else ""
    spans = len(version.served)
    now = "champion now" if spans and version.served[-1].until is None else ""
    was = now or (f"champion {spans} time{'s' * (spans > 1)}" if spans else "never champion")
    span = f"{version.first:%Y-%m-%d %H:%M} to {version.last:%Y-%m-%d %H:%M}" if version.first and version.last else ""
    foreign = f"{version.foreign:,} of another bundle" if version.foreign else ""
    name = f"{version.name}/{version.number}"
    model = Node("model", name, was, not found.ledger_problem, str(version.bundle), found.ledger_problem)
    return (
        Node("data", version.dataset, f"registered {version.registered:%Y-%m-%d}", None, digest),
        Node("run", version.run[:12], "", None),
        model,
        Node("answers", f"{version.answers:,}", span, not version.foreign, "", foreign),
    )
