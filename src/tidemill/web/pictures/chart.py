"""Quality over time: the estimate with its interval, labelled points, the limit, and who took over when."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidemill.project.viewing.records import Change, QualityPoint, QualityView
from tidemill.web import formats

LEFT, TOP, BOTTOM = 50.0, 16.0, 34.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of an axis, and what stands beside it."""

    at: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Mark:
    """A point with its interval from `low` to `high` (all in picture units) and words for it.

    `alone` says that no band shows the interval.
    """

    x: float
    y: float
    low: float
    high: float
    title: str
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """The worst quality of one version that calls for nothing, from `left` to `right`."""

    left: float
    right: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Takeover:
    """A version that took over, as an upright line; `tested` marks its quality on the test split."""

    x: float
    text: str
    anchor: str
    tested: Mark | None


@dataclass(frozen=True, slots=True)
class Chart:
    """The picture in a box of `width` x `height`; `segments` are (band, line) paths, one a version that served."""

    width: float
    height: float
    left: float
    bottom: float
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    segments: tuple[tuple[str, str], ...]
    estimates: tuple[Mark, ...]
    labelled: tuple[Mark, ...]
    limits: tuple[Limit, ...]
    takeovers: tuple[Takeover, ...]
    spoken: str


class _Scale:
    """From instants and values to places in the picture."""

    def __init__(self, view: QualityView, width: float, height: float) -> None:
        times = [point.at for point in view.points] + [change.at for change in view.changes]
        self.first, self.last = min(times), max(times)
        self.width, self.height = width, height
        values = [value for point in view.points for value in (*(point.estimated or ()), *(point.labelled or ()))]
        values += [change.tested for change in view.changes if change.tested is not None]
        values += view.limits.values()
        self.low, self.high, self.step = _range(values, view.share)

    def x(self, at: datetime) -> float:
        span = (self.last - self.first) / timedelta(seconds=1)
        part = 0.5 if span <= 0 else (at - self.first) / timedelta(seconds=1) / span
        room = self.width - LEFT - 12
        return round(LEFT + room * (0.03 + 0.94 * part), 1)

    def y(self, value: float) -> float:
        part = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.height - BOTTOM - part * (self.height - BOTTOM - TOP), 1)


def chart(view: QualityView, width: float, height: float = 230.0) -> Chart:
    """The picture of `view`, which has at least one point."""
    scale = _Scale(view, width, height)
    groups = _by_version([point for point in view.points if point.estimated])
    return Chart(
        width=width,
        height=height,
        left=LEFT,
        bottom=height - BOTTOM,
        y_ticks=_y_ticks(scale, view.share),
        x_ticks=_x_ticks(scale),
        segments=tuple(_segment(scale, points) for points in groups if len(points) > 1),
        estimates=tuple(
            dataclasses.replace(_mark(scale, view, point, labelled=False), alone=len(group) == 1)
            for group in groups
            for point in group
        ),
        labelled=tuple(_mark(scale, view, point, labelled=True) for point in view.points if point.labelled),
        limits=_limits(scale, view),
        takeovers=_takeovers(scale, view),
        spoken=_spoken(view),
    )


def _range(values: Sequence[float], share: bool) -> tuple[float, float, float]:
    """The range of the axis and the distance of its lines: 1, 2 or 5 times a power of ten, at most six lines."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = max((high - low) * 0.12, abs(high) * 0.01, 1e-9)
    low, high = low - room, high + room
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    if share:
        low, high = max(0.0, low), min(1.0, high)
    return low, high, step


def _y_ticks(scale: _Scale, share: bool) -> tuple[Tick, ...]:
    count = round((scale.high - scale.low) / scale.step)
    values = [scale.low + i * scale.step for i in range(count + 1)]
    return tuple(Tick(scale.y(value), f"{100 * value:.4g}" if share else f"{value:.4g}") for value in values)


def _x_ticks(scale: _Scale) -> tuple[Tick, ...]:
    span = scale.last - scale.first
    form = "%H:%M:%S" if span < timedelta(minutes=10) else "%H:%M" if span < timedelta(days=1) else "%-d %b"
    if span <= timedelta(0):
        return (Tick(scale.x(scale.first), scale.first.astimezone().strftime(form)),)
    middle = scale.first + span / 2
    anchors = (("start", scale.first), ("middle", middle), ("end", scale.last))
    return tuple(Tick(scale.x(at), at.astimezone().strftime(form), anchor) for anchor, at in anchors)


def _by_version(points: Sequence[QualityPoint]) -> list[list[QualityPoint]]:
    groups: list[list[QualityPoint]] = []
    for point in points:
        if groups and groups[-1][-1].version == point.version:
            groups[-1].append(point)
        else:
            groups.append([point])
    return groups


def _segment(scale: _Scale, points: Sequence[QualityPoint]) -> tuple[str, str]:
    upper, line, lower = [], [], []
    for point in points:
        assert point.estimated is not None
        x = scale.x(point.at)
        value, low, high = point.estimated
        upper.append(f"{x} {scale.y(high)}")
        line.append(f"{x} {scale.y(value)}")
        lower.append(f"{x} {scale.y(low)}")
    return "M" + "L".join([*upper, *reversed(lower)]) + "z", "M" + "L".join(line)


def _mark(scale: _Scale, view: QualityView, point: QualityPoint, *, labelled: bool) -> Mark:
    figures = point.labelled if labelled else point.estimated
    assert figures is not None
    value, low, high = figures
    said = f"{point.labels:,} labels say" if labelled else f"estimated from {point.rows:,} answers"
    title = (
        f"{formats.clock(point.at)}, version {point.version}: {said} {formats.measure(value, view.share)} "
        f"[{formats.measure(low, view.share)}, {formats.measure(high, view.share)}]"
    )
    aside = 7 if labelled and point.estimated else 0  # or the one would hide the other
    return Mark(scale.x(point.at) + aside, scale.y(value), scale.y(low), scale.y(high), title)


def _limits(scale: _Scale, view: QualityView) -> tuple[Limit, ...]:
    """Each version's limit, from when it took over until the next one did."""
    found = []
    for version, value in view.limits.items():
        begin = max((change.at for change in view.changes if change.version == version), default=None)
        ends = [change.at for change in view.changes if change.version != version and (not begin or change.at > begin)]
        left = LEFT if begin is None else scale.x(begin)
        right = scale.x(min(ends)) if ends else scale.width - 8
        text = f"limit {100 * value:.3g}" if view.share else f"limit {value:.3g}"
        found.append(Limit(left, right, scale.y(value), text))
    return tuple(found)


def _takeovers(scale: _Scale, view: QualityView) -> tuple[Takeover, ...]:
    found = []
    for change in view.changes:
        x = scale.x(change.at)
        anchor = "end" if x > scale.width * 0.66 else "start"
        tested = None if change.tested is None else _tested(scale, view, change, change.tested)
        found.append(Takeover(x, f"/{change.version} takes over", anchor, tested))
    return tuple(found)


def _tested(scale: _Scale, view: QualityView, change: Change, value: float) -> Mark:
    y = scale.y(value)
    shown = formats.measure(value, view.share)
    return Mark(scale.x(change.at), y, y, y, f"version {change.version} on the test split, when promoted: {shown}")


def _spoken(view: QualityView) -> str:
    last = view.points[-1]
    parts = [f"{view.metric} in {len(view.points)} reports"]
    if last.estimated:
        parts.append(f"last estimated {formats.measure(last.estimated[0], view.share)}")
    if last.labelled:
        parts.append(f"last by labels {formats.measure(last.labelled[0], view.share)}")
    if last.version in view.limits:
        parts.append(f"limit {formats.measure(view.limits[last.version], view.share)}")
    return ", ".join(parts)
