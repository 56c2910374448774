"""The page `/`: the whole loop at a glance."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tidemill.dataset.read import read_record
from tidemill.domain.drift import RetrainDecision
from tidemill.domain.evidence import Evidence
from tidemill.domain.record import from_plain
from tidemill.domain.registry import Event
from tidemill.errors import TidemillError
from tidemill.project.layout import Layout
from tidemill.project.viewing import reports as seen
from tidemill.project.viewing.events import describe
from tidemill.project.viewing.frame import History, Progress, history, next_step
from tidemill.project.viewing.records import DataView, EvidenceView, LoopView, VersionView
from tidemill.project.viewing.runs import newest_run
from tidemill.project.viewing.servers import count_errors, live_servers
from tidemill.project.viewing.traffic import traffic_of
from tidemill.project.viewing.versions import versions

DECISIONS = 6  # lines in the list


def loop_view(layout: Layout, model: str | None = None) -> LoopView:
    """Everything the loop's page shows of `model`, or of the model that something happened to last.

    Raises NotFoundError for an unknown model.
    """
    past = history(layout, model)
    name, at = past.frame.model, past.frame.at
    log = traffic_of(layout.log)
    traffic = log.traffic(name, at)
    labels = log.labels(name, at, traffic.span)
    reports = seen.read_reports(layout, past.events)
    decisions = _decisions(past.events)
    known = versions(layout, past.events, past.state)
    data = _data(layout, past, known[0] if known else None)
    servers = live_servers(layout, name)
    decided = [event for event in past.events if event.kind == "decided"]
    run = newest_run(layout.database, name or past.frame.project)
    latest = log.latest(name)
    progress = Progress(data is not None, servers, latest, labels.labelled, len(reports), len(decided))
    return LoopView(
        frame=past.frame,
        hint=None if run and run.status == "running" else next_step(layout, past, progress),
        data=data,
        run=run,
        newest=known[0] if known else None,
        servers=servers,
        traffic=dataclasses.replace(traffic, errors=count_errors(servers)),
        labels=labels,
        alarms=seen.alarms(reports),
        quality=seen.quality(reports, decisions, [event for event in past.events if event.kind == "promoted"]),
        drift=seen.drift_map(reports[-24:]),
        evidence=_evidence(past.events),
        events=tuple(describe(event) for event in _notable(past.events)),
        decision=describe(decided[-1]) if decided else None,
        latest=latest,
    )


def _data(layout: Layout, past: History, newest: VersionView | None) -> DataView | None:
    """The data version in the working tree that the model is trained on: by the newest version, or by its name."""
    names = [newest.dataset.rsplit("-v", 1)[0]] if newest else []
    names += [past.frame.model, past.frame.project]
    paths = [layout.data / f"{name}.json" for name in names if name] + sorted(layout.data.glob("*.json"))
    return next((view for view in map(_data_view, paths) if view is not None), None)


def _data_view(path: Path) -> DataView | None:
    try:
        record = read_record(path)
    except (TidemillError, OSError):
        return None
    return DataView(
        record.name, record.version, {split.name: split.rows for split in record.splits}, len(record.classes)
    )


def _decisions(events: Sequence[Event]) -> list[RetrainDecision]:
    return [from_plain(RetrainDecision, event.payload["decision"]) for event in events if event.kind == "decided"]


def _evidence(events: Sequence[Event]) -> EvidenceView | None:
    """What the newest promotion that carries evidence rested on."""
    for event in reversed(events):
        if event.kind == "promoted" and event.payload.get("evidence"):
            return EvidenceView(
                model=event.model,
                evidence=from_plain(Evidence, event.payload["evidence"]),
                forced=event.payload.get("forced"),
                sequence=event.sequence,
                at=event.at,
                digest=str(event.digest),
                previous=str(event.previous),
            )
    return None


def _notable(events: Sequence[Event]) -> list[Event]:
    """The newest lines that a person would tell somebody: not registrations, and of the reports the alarms."""
    told = [event for event in events if event.kind != "registered" and not _uneventful(event)]
    return list(reversed(told[-DECISIONS:]))


def _uneventful(event: Event) -> bool:
    return event.kind == "reported" and not event.payload.get("drifted")
