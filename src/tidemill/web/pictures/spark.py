"""Small lines and bars without axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 260.0, 60.0


@dataclass(frozen=True, slots=True)
class Spark:
    """Path data of a line and of the area below it, in a box of 260 x 60."""

    line: str
    area: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar."""

    x: float
    y: float
    width: float
    height: float


def spark(values: Sequence[float | None]) -> Spark:
    """Line and area of `values`, evenly spaced, from 0 to their largest; None counts as 0."""
    known = [value or 0.0 for value in values]
    if not known:
        return Spark("", "")
    top = max(known) or 1.0
    step = WIDTH / max(1, len(known) - 1)
    points = [f"{i * step:.1f} {HEIGHT - 3 - value / top * (HEIGHT - 12):.1f}" for i, value in enumerate(known)]
    line = "M" + "L".join(points)
    return Spark(line, f"{line}L{(len(known) - 1) * step:.1f} {HEIGHT - 1:.0f}L0 {HEIGHT - 1:.0f}z")


def bars(values: Sequence[float]) -> tuple[Bar, ...]:
    """One bar a value, from 0 to the largest; an empty one is a thin line, so that one sees that nothing came."""
    top = max(values, default=0) or 1
    pitch = WIDTH / max(1, len(values))
    heights = [max(1.5, value / top * (HEIGHT - 12)) for value in values]
    return tuple(
        Bar(round(i * pitch, 1), round(HEIGHT - 2 - height, 1), round(pitch * 0.7, 1), round(height, 1))
        for i, height in enumerate(heights)
    )
