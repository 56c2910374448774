"""The loop as a picture: eight stations, what each last did, and the way back from deciding to the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tidemill.project.viewing.records import LoopView, VersionView
from tidemill.web import formats

State = Literal["empty", "done", "running", "alarm"]


@dataclass(frozen=True, slots=True)
class Station:
    """A stage: its name, what it last did in a few words, and whether it is at work."""

    name: str
    caption: str
    state: State
    link: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A station with its place in the picture."""

    station: Station
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Ring:
    """`wide` lies on a line in a box of 1280 x 150, `narrow` stands in one of 380 x `height`."""

    wide: tuple[Placed, ...]
    narrow: tuple[Placed, ...]
    height: float
    spoken: str


def ring(view: LoopView) -> Ring:
    """The picture of the whole loop as it stands now."""
    stations = (_data(view), _train(view), *_model(view), _serve(view), _watch(view), _decide(view))
    wide = tuple(Placed(station, 90 + i * 157.1, 52) for i, station in enumerate(stations))
    narrow = tuple(Placed(station, 52, 30 + i * 50) for i, station in enumerate(stations))
    busy = [station.name for station in stations if station.state == "running"]
    told = "; ".join(f"{station.name}: {station.caption}" for station in stations)
    spoken = f"The loop. {' and '.join(busy) if busy else 'Nothing'} running now. {told}"
    return Ring(wide, narrow, 30 + len(stations) * 50, spoken)


def _data(view: LoopView) -> Station:
    if view.data is None:
        return Station("data", "none yet", "empty", "/")
    rows = [view.data.rows.get(split, 0) for split in ("train", "val", "test")]
    learned, tested = rows[0] + rows[1], rows[2]
    return Station("data", f"v{view.data.version} · {learned:,} + {tested:,}", "done", "/models")


def _train(view: LoopView) -> Station:
    run = view.run
    if run is None:
        return Station("train", "no run yet", "empty", "/models")
    if run.status == "running":
        reached = f"epoch {run.epoch} done" if run.epoch is not None else "starts"
        return Station("train", f"run {run.id[:6]} · {reached}", "running", "/models")
    if run.status != "finished":
        return Station("train", f"run {run.id[:6]} {run.status}", "alarm", "/models")
    return Station("train", f"run {run.id[:6]} · {formats.duration(run.seconds)}", "done", "/models")


def _model(view: LoopView) -> tuple[Station, Station, Station]:
    newest = view.newest
    if newest is None:
        waiting = [Station(name, "–", "empty", "/models") for name in ("evaluate", "export", "register")]
        return waiting[0], waiting[1], waiting[2]
    return (
        Station("evaluate", main_metric(newest), "done", "/models"),
        _export(newest),
        Station("register", f"{formats.short(view.frame.model, 18)}/{newest.number}", "done", "/models"),
    )


def main_metric(version: VersionView) -> str:
    """The one figure that a person looks for: accuracy, or the error with its name."""
    for name in ("accuracy", "test_accuracy"):
        if name in version.metrics:
            return formats.measure(version.metrics[name], share=True)
    for name, value in version.metrics.items():
        if "rmse" in name:
            return f"RMSE {formats.measure(value, share=False)}"
    return next((f"{name} {formats.number(value)}" for name, value in version.metrics.items()), "–")


def _export(newest: VersionView) -> Station:
    if newest.parity is None:
        return Station("export", "bundle elsewhere", "done", "/models")
    if newest.parity.held and newest.parity.changed == 0:
        return Station("export", "parity held", "done", "/models")
    caption = f"{newest.parity.changed:,} of {newest.parity.rows:,} changed"
    return Station("export", caption, "done" if newest.parity.held else "alarm", "/models")


def _serve(view: LoopView) -> Station:
    if not view.servers:
        caption = "stopped" if view.traffic.total else "not yet"
        return Station("serve", caption, "done" if view.traffic.total else "empty", "/predictions")
    caption = f"{formats.number(round(view.traffic.rate, 1))} req/s" if view.traffic.rate else "waiting for requests"
    return Station("serve", caption, "running", "/predictions")


def _watch(view: LoopView) -> Station:
    if not view.alarms:
        return Station("watch", "no report yet", "empty", "/drift")
    if not view.alarms[-1].tested:
        return Station("watch", "too few answers", "done", "/drift")
    if not view.alarms[-1].drifted:
        return Station("watch", "no drift", "done", "/drift")
    last = view.alarms[-1].report
    count = 0
    if view.drift is not None:
        cells = (row.cells[-1] for row in view.drift.rows)
        count = sum(1 for cell in cells if cell is not None and cell.report == last and cell.drifted)
    return Station(
        "watch", f"{count} feature{'' if count == 1 else 's'} drift{'s' if count == 1 else ''}", "alarm", "/drift"
    )


def _decide(view: LoopView) -> Station:
    if view.decision is None:
        return Station("decide", "nothing yet", "empty", "/ledger")
    return Station("decide", f"{view.decision.title.lower()} · {formats.clock(view.decision.at)}", "done", "/ledger")
