"""The ledger in words: a title, a sentence and a tone for each line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tidemill.domain.registry import Event
from tidemill.project.viewing.records import EventView, Tone

Words = tuple[str, str, Tone, str, str | None]
"""Title, sentence, tone, reference and link of a line."""


def describe(event: Event) -> EventView:
    """`event` in words; a payload that lacks what it should have still gives a line."""
    title, text, tone, reference, link = _WORDS[event.kind](event.model, event.payload)
    return EventView(
        sequence=event.sequence,
        at=event.at,
        who=event.who,
        model=event.model,
        kind=event.kind,
        title=title,
        text=text,
        tone=tone,
        reference=reference or f"ledger {event.sequence}",
        link=link,
        digest=str(event.digest),
        previous=str(event.previous),
    )


def _registered(model: str, payload: Mapping[str, Any]) -> Words:
    metrics = payload.get("metrics") or {}
    accuracy = metrics.get("accuracy")
    figure = f", accuracy {accuracy:.1%}" if isinstance(accuracy, float) else ""
    text = f"{model}/{payload.get('version')}, trained on {payload.get('dataset')}{figure}"
    return "Registered", text, "plain", f"run {str(payload.get('run'))[:6]}", None


def _promoted(model: str, payload: Mapping[str, Any]) -> Words:
    name = f"{model}/{payload.get('version')}"
    evidence = payload.get("evidence") or {}
    if payload.get("forced"):
        return "Promoted by force", f"{name}: {payload['forced']}", "warn", "", None
    if payload.get("replaced") is None:
        return "Promoted", f"{name}, the first champion", "good", "", None
    text = f"{name} over {model}/{payload['replaced']}, on the same {evidence.get('rows', '?')} rows"
    difference, p = evidence.get("difference"), evidence.get("p_value")
    if isinstance(difference, float):
        points = f"{100 * difference:+.1f} points" if evidence.get("metric") == "accuracy" else f"{difference:+.3g}"
        text += f": {points} of {evidence.get('metric')}"
    if isinstance(p, float):
        text += f", p {p:.2g}"
    return "Promoted", text, "good", "", None


def _rolled_back(model: str, payload: Mapping[str, Any]) -> Words:
    text = f"from {model}/{payload.get('from')} to {model}/{payload.get('to')}"
    if payload.get("reason"):
        text += f": {payload['reason']}"
    return "Rolled back", text, "bad", "", None


def _refused(model: str, payload: Mapping[str, Any]) -> Words:
    evidence = payload.get("evidence") or {}
    failed = [str(check.get("name")) for check in evidence.get("checks", ()) if not check.get("held")]
    text = f"{model}/{payload.get('version')}: {', '.join(failed)} did not hold"
    return "Not promoted", text, "plain", "", None


def _aliased(model: str, payload: Mapping[str, Any]) -> Words:
    number = payload.get("version")
    text = f"{payload.get('alias')} of {model} {f'set to {model}/{number}' if number else 'removed'} in MLflow"
    return (
        ("Alias moved", text, "warn", "", None) if payload.get("taken") else ("Alias put back", text, "warn", "", None)
    )


def _retired(model: str, payload: Mapping[str, Any]) -> Words:
    return "Retired", f"{model}/{payload.get('version')} was deleted in MLflow", "warn", "", None


def _reported(model: str, payload: Mapping[str, Any]) -> Words:
    report = str(payload.get("report"))
    features = _names(payload.get("drifted"))
    rows = (payload.get("window") or {}).get("rows")
    seen = f"{rows:,} answers of {model}" if isinstance(rows, int) else model
    reference, link = f"report {report[-4:]}", f"/drift?report={report}"
    if features:
        return "Alarm", f"{seen}: drift in {', '.join(features[:4])}{_more(features)}", "bad", reference, link
    found = "no drift" if payload.get("tests", 1) else "too few to test for drift"
    return "Report", f"{seen}: {found}", "plain", reference, link


def _names(drifted: Any) -> list[str]:
    """Features by name, each once, whether the payload lists them by name or by test."""
    if not isinstance(drifted, Sequence) or isinstance(drifted, str):
        return []
    names = [each.get("feature") if isinstance(each, Mapping) else each for each in drifted]
    return list(dict.fromkeys(str(name) for name in names))


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 4} more" if len(names) > 4 else ""


def _decided(model: str, payload: Mapping[str, Any]) -> Words:
    decision = payload.get("decision") or {}
    reasons = "; ".join(str(reason) for reason in decision.get("reasons", ()))
    report = str(decision.get("report"))
    reference, link = f"report {report[-4:]}", f"/drift?report={report}"
    if decision.get("verdict") == "retrain":
        return "Retrain", f"{reasons}", "warn", reference, link
    return "Wait", f"{reasons}", "plain", reference, link


_WORDS: Mapping[str, Callable[[str, Mapping[str, Any]], Words]] = {
    "registered": _registered,
    "promoted": _promoted,
    "refused": _refused,
    "rolled_back": _rolled_back,
    "aliased": _aliased,
    "retired": _retired,
    "reported": _reported,
    "decided": _decided,
}
