"""The files of an evaluation, read back, so that a tracker can show them as its own kind of plot and table."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFUSION, CURVES, SAMPLES = "confusion.csv", "pr_curves.csv", "samples.json"
COUNTS = ("tp", "fp", "tn", "fn")


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall of one label at falling thresholds, with the four counts behind them."""

    label: str
    thresholds: list[float]
    precision: list[float]
    recall: list[float]
    counts: Mapping[str, list[int]]


def read_confusion(folder: Path) -> tuple[list[str], list[list[int]]] | None:
    """Labels, and the rows of counts: of label i taken for label j. None where there is no such table."""
    path = folder / CONFUSION
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header[1:], [[int(count) for count in row[1:]] for row in rows]


def read_curves(folder: Path) -> list[Curve]:
    """A curve for each label, in the file's order; none where there is no file."""
    path = folder / CURVES
    if not path.is_file():
        return []
    found: dict[str, list[dict[str, str]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["label"], []).append(row)
    return [
        Curve(
            label,
            thresholds=[float(row["threshold"]) for row in rows],
            precision=[float(row["precision"]) for row in rows],
            recall=[float(row["recall"]) for row in rows],
            counts={name: [int(row[name]) for row in rows] for name in COUNTS},
        )
        for label, rows in found.items()
    ]


def read_samples(folder: Path) -> list[Mapping[str, Any]]:
    """Answered test rows: `name`, `input` (text, or null), `picture` (a file beside, or null), `label`, `prediction`,
    `score`."""
    path = folder / SAMPLES
    found: Sequence[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return list(found)
