"""Lineage as boxes in one row or two, or on a narrow page as a column."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tidemill.project.viewing.records import LineageView, Node

WIDTH, HEIGHT, GAP = 1228.0, 68.0, 26.0
ROW = 7  # more boxes than this stand in two rows
LETTER, STRONG = 6.7, 8.8  # widths of one letter, and of a bold capital one


@dataclass(frozen=True, slots=True)
class Box:
    """A record with its place; its name has room for `strong` letters, its detail for `letters`.

    `way` is the arrow that leads to it.
    """

    node: Node
    x: float
    y: float
    width: float
    strong: int
    letters: int
    way: str


@dataclass(frozen=True, slots=True)
class Chain:
    """`wide` in a box of 1240 x `height`, `narrow` in one of 380 x `length`."""

    wide: tuple[Box, ...]
    narrow: tuple[Box, ...]
    height: float
    length: float
    spoken: str


def chain(lineage: LineageView) -> Chain:
    """The boxes of `lineage`, which has at least one."""
    count = len(lineage.nodes)
    rows = 1 if count <= ROW else 2
    columns = math.ceil(count / rows)
    wide = tuple(_wide(node, index, columns) for index, node in enumerate(lineage.nodes))
    narrow = tuple(_narrow(node, index) for index, node in enumerate(lineage.nodes))
    held = sum(1 for node in lineage.nodes if node.verified)
    way = ", from ".join(f"{node.kind} {node.name}" for node in lineage.nodes)
    spoken = f"Lineage of prediction {lineage.prediction}: {way}. {held} of {count} rechecked."
    return Chain(wide, narrow, 8 + rows * (HEIGHT + 30), 8 + count * (HEIGHT + 24), spoken)


def _wide(node: Node, index: int, columns: int) -> Box:
    width = min(288.0, (WIDTH - GAP * (columns - 1)) / columns)
    row, column = divmod(index, columns)
    x, y = 6 + column * (width + GAP), 10 + row * (HEIGHT + 30)
    middle = y + HEIGHT / 2
    if not index:
        way = ""
    elif column:
        way = f"M{x - GAP + 3:.1f} {middle}H{x - 4:.1f}"
    else:  # from under the last box of the row above to the top of the first box of this one
        last = 6 + (columns - 1) * (width + GAP) + width / 2
        way = f"M{last:.1f} {y - 28}V{y - 15}H{x + width / 2:.1f}V{y - 4}"
    return Box(node, round(x, 1), y, round(width, 1), int((width - 24) / STRONG), int((width - 24) / LETTER), way)


def _narrow(node: Node, index: int) -> Box:
    y = 8 + index * (HEIGHT + 24)
    return Box(node, 6, y, 368, 38, 50, f"M190 {y - 21}V{y - 4}" if index else "")
