"""Drift by feature and report as a field of cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tidemill.project.viewing.records import DriftCell, DriftMap
from tidemill.web import formats

TOP, PITCH, LABEL = 12.0, 32.0, 122.0


@dataclass(frozen=True, slots=True)
class Cell:
    """`strength` from 0 (nothing) to 1 is the cell's opacity; `title` says it in figures."""

    x: float
    y: float
    width: float
    strength: float
    drifted: bool
    title: str
    report: str


@dataclass(frozen=True, slots=True)
class Label:
    """The name of a row."""

    x: float
    y: float
    text: str
    title: str


@dataclass(frozen=True, slots=True)
class Heat:
    """The field in a box of `width` x `height`."""

    width: float
    height: float
    labels: tuple[Label, ...]
    cells: tuple[Cell, ...]
    first: str
    last: str
    left: float
    right: float
    spoken: str


def heat(drift: DriftMap, width: float) -> Heat:
    """The cells of `drift`; few reports make cells of at most 56 wide, left-aligned in time."""
    columns = max(1, len(drift.times))
    pitch = min(56.0, (width - LABEL - 8) / columns)
    labels, cells = [], []
    for j, row in enumerate(drift.rows):
        y = TOP + j * PITCH
        labels.append(Label(LABEL - 10, y + 16, formats.short(row.feature, 15), row.feature))
        for i, cell in enumerate(row.cells):
            if cell is not None:
                cells.append(_cell(cell, LABEL + i * pitch, y, pitch))
    first = formats.clock(drift.times[0]) if drift.times else ""
    last = formats.clock(drift.times[-1]) if len(drift.times) > 1 else ""
    right = LABEL + columns * pitch
    return Heat(
        width,
        TOP + PITCH * len(drift.rows) + 22,
        tuple(labels),
        tuple(cells),
        first,
        last,
        LABEL,
        right,
        _spoken(drift),
    )


def _spoken(drift: DriftMap) -> str:
    newest = [row.cells[-1] for row in drift.rows]
    names = [cell.feature for cell in newest if cell is not None and cell.drifted]
    found = f"drift in {', '.join(names)}" if names else "no drift"
    return f"{len(drift.rows)} features in {len(drift.times)} reports; in the newest {found}"


def _cell(cell: DriftCell, x: float, y: float, pitch: float) -> Cell:
    title = (
        f"{cell.feature}, {formats.clock(cell.at)}: {cell.method} {formats.number(cell.statistic)}, "
        f"{formats.p_value(cell.p_value)}, level {cell.level:.2g}"
    )
    return Cell(
        round(x, 1), y, round(pitch - min(2.4, pitch * 0.16), 1), strength(cell), cell.drifted, title, cell.report
    )


def strength(cell: DriftCell) -> float:
    """How near a test is to its level, on the scale of orders of magnitude; at the level 0.55, far beyond it 1."""
    p = max(cell.p_value, 1e-300)
    level = min(max(cell.level, 1e-300), 0.5)
    orders = math.log10(p) / math.log10(level)
    return round(min(1.0, 0.08 + 0.47 * orders if orders <= 1 else 0.55 + 0.15 * (orders - 1)), 2)
