"""How the ledger's lines look on a terminal and in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tidemill.cli.models_view import quality
from tidemill.cli.tables import print_table
from tidemill.domain.registry import Event


def print_history(events: Sequence[Event]) -> None:
    """A line an event, the oldest first."""
    print_table(
        ("when", "what", "detail", "who", "line"),
        [
            (f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}", event.kind.replace("_", " "),
             _DETAIL[event.kind](event.model, event.payload), event.who, f"{event.sequence} {event.digest.short}")
            for event in events
        ],
    )  # fmt: skip


def _registered(model: str, payload: Mapping[str, Any]) -> str:
    return f"{model}/{payload['version']} from {payload['dataset']}, {quality(payload['metrics'])}"


def _promoted(model: str, payload: Mapping[str, Any]) -> str:
    replaced = f" instead of {model}/{payload['replaced']}" if payload["replaced"] else ""
    forced = f", forced: {payload['forced']}" if payload["forced"] else ""
    return f"{model}/{payload['version']}{replaced}{forced}"


def _refused(model: str, payload: Mapping[str, Any]) -> str:
    failed = [check["name"] for check in payload["evidence"]["checks"] if not check["held"]]
    return f"{model}/{payload['version']}: {', '.join(failed)} did not hold"


def _rolled_back(model: str, payload: Mapping[str, Any]) -> str:
    reason = f": {payload['reason']}" if payload["reason"] else ""
    return f"from {model}/{payload['from']} to {model}/{payload['to']}{reason}"


def _aliased(model: str, payload: Mapping[str, Any]) -> str:
    where = f"to {model}/{payload['version']}" if payload["version"] else "to none"
    return f"{payload['alias']} {where} in MLflow" + ("" if payload["taken"] else f": {payload['reason']}")


def _retired(model: str, payload: Mapping[str, Any]) -> str:
    return f"{model}/{payload['version']} was deleted in MLflow"


def _reported(_: str, payload: Mapping[str, Any]) -> str:
    return f"report {payload['report']}" + (", drift" if payload["drifted"] else "")


def _decided(_: str, payload: Mapping[str, Any]) -> str:
    return f"{payload['decision']['verdict']}: {'; '.join(payload['decision']['reasons'])}"


_DETAIL: Mapping[str, Callable[[str, Mapping[str, Any]], str]] = {
    "registered": _registered,
    "promoted": _promoted,
    "refused": _refused,
    "rolled_back": _rolled_back,
    "aliased": _aliased,
    "retired": _retired,
    "reported": _reported,
    "decided": _decided,
}
