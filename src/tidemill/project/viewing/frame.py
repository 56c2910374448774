"""What stands around every page: the project, its models, who is champion; and what to type next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.domain.record import now
from tidemill.domain.registry import Event, RegistryState, fold
from tidemill.errors import NotFoundError, nearest
from tidemill.project.layout import Layout, read_marker
from tidemill.project.registry import events as ledger_events
from tidemill.project.viewing.records import Frame, Hint, ServerView
from tidemill.project.viewing.versions import promoted_at


@dataclass(frozen=True, slots=True)
class History:
    """The ledger as one page needs it: all lines, those of the model that is looked at, and its folded state."""

    everything: Sequence[Event]
    events: Sequence[Event]
    state: RegistryState
    frame: Frame


def history(layout: Layout, model: str | None) -> History:
    """The ledger, with the state of `model`, or of the model that something happened to last.

    Raises NotFoundError for a model that the ledger does not know.
    """
    marker = read_marker(layout)
    everything = ledger_events(layout)
    names = tuple(dict.fromkeys(event.model for event in reversed(everything)))
    if model and model not in names:
        raise NotFoundError(f"no model {model[:80]!r} in this project", nearest(model, names, kind="models"))
    chosen = model or (names[0] if names else "")
    events = [event for event in everything if event.model == chosen]
    state = fold(events)
    since = promoted_at(events, state.champion) if state.champion is not None else None
    frame = Frame(
        marker.name, marker.task, chosen, tuple(sorted(names)), state.champion, since, state.challenger, now()
    )
    return History(everything, events, state, frame)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the loop has come, for the hint. `latest` is the id of the newest answer."""

    data: bool
    servers: Sequence[ServerView]
    latest: str | None
    labels: int
    reports: int
    decisions: int


def next_step(layout: Layout, history: History, progress: Progress) -> Hint | None:
    """The command that would take the loop one step on; None when the whole loop has been gone through."""
    state = history.state
    name = history.frame.model or history.frame.project
    if not state.versions:
        if not progress.data:
            return Hint("This project has no data yet.", f"tidemill data add PATH --name {name}")
        return Hint("The data is here; no model has been trained on it.", "tidemill train")
    if state.challenger is not None and (state.champion is None or state.challenger > state.champion):
        who = "No version is champion yet." if state.champion is None else "A challenger waits to be compared."
        return Hint(f"{who} Version {state.challenger} could be.", f"tidemill models promote {name} {state.challenger}")
    if progress.latest is None:
        return _ask(layout, history.frame, progress)
    missing = (
        (progress.labels, Hint("No answer has been labelled yet.", f"tidemill feedback {progress.latest} LABEL")),
        (progress.reports, Hint("Nobody has looked at this traffic yet.", f"tidemill monitor {name}")),
        (progress.decisions, Hint("The policy has not been asked yet.", f"tidemill retrain {name}")),
    )
    return next((hint for done, hint in missing if not done), None)


def _ask(layout: Layout, frame: Frame, progress: Progress) -> Hint:
    name = frame.model
    if not progress.servers:
        return Hint(f"{name} is champion, and no server runs.", f"tidemill serve {name}@champion --port 8080")
    url = f"{progress.servers[0].address}/v1/models/{name}:predict"
    examples = sorted(path.name for path in (layout.root / "examples").glob("[!.]*") if path.is_file())
    if frame.task == "text" or not examples:
        asked = """-d '{"inputs": ["a sentence"]}'"""
    else:
        asked = f"-F file=@examples/{examples[0]}" if frame.task == "image" else f"-d @examples/{examples[0]}"
    return Hint("A server waits for its first request.", f"curl {asked} {url}")
