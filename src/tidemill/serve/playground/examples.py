"""What the page offers to try: inputs of the bundle's reference sample, with their true labels."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

from tidemill.bundle.golden import read_golden
from tidemill.bundle.preprocess import canonical_input, raw_input
from tidemill.bundle.read import OpenBundle
from tidemill.bundle.reference import FILE
from tidemill.domain.dataset import Task
from tidemill.errors import BundleError

COUNT = 12
_LOOKED = 4096  # rows
_HELD = 32 << 20  # bytes of rows to choose from
_BATCH = 128  # rows read at a time: the inputs of a sample may be 64 KB each
_LARGEST = 4 << 20  # bytes of all examples
_NUMBERS = 1e300  # what is beyond is no number that a column had


class _Row(NamedTuple):
    """`content` is the canonical input; `label` the true one, None where nobody kept it."""

    number: int
    content: bytes
    label: str | None
    output: str


@dataclass(slots=True)
class _Seen:
    """What is kept of the rows that pass: some of each class, right and wrong, and the range of each number."""

    kept: dict[tuple[str | None, bool], list[_Row]] = field(default_factory=lambda: defaultdict(list))
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    room: int = _HELD

    def take(self, row: _Row, most: int) -> None:
        group = self.kept[row.label, row.label == row.output]
        if len(group) < most and len(row.content) <= self.room:
            group.append(row)
            self.room -= len(row.content)

    def widen(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, int | float) and abs(value) < _NUMBERS:
                low, high = self.ranges.get(name, (value, value))
                self.ranges[name] = min(low, value), max(high, value)


def find_examples(opened: OpenBundle) -> Mapping[str, Any]:
    """At most `COUNT` examples from all classes, some of them mistakes of the model, and what numbers are usual.

    {"examples": [{"input", "label", "output"}], "ranges": {column: [low, high]}}; `input` is as /v1 takes it. Where the
    sample keeps no input (they were too large), the golden requests stand in, whose true labels nobody kept.
    Raises BundleError for a sample that cannot be read.
    """
    seen, signature = _Seen(), opened.bundle.signature
    classes = len(signature.labels)
    for row in _rows(opened):
        seen.take(row, max(COUNT // 3, math.ceil(COUNT / classes)) if classes else COUNT)
        if signature.task == "tabular":
            seen.widen(_input(signature.task, row.content))
    chosen = _mixed(seen) if classes else _spread(seen)
    if not chosen:
        golden = read_golden(opened)[:COUNT]
        chosen = [_Row(n, canonical_input(row.input), None, row.output) for n, row in enumerate(golden)]
    return {"examples": _written(signature.task, chosen), "ranges": {k: list(v) for k, v in seen.ranges.items()}}


def _rows(opened: OpenBundle) -> Iterator[_Row]:
    """Rows of the sample that kept their input."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(opened.directory / FILE) as file:
            for batch in file.iter_batches(_BATCH, columns=["input", "label", "output"]):
                columns = (batch.column(name).to_pylist() for name in ("input", "label", "output"))
                for content, label, output in zip(*columns, strict=True):
                    number += 1
                    if isinstance(content, bytes):
                        yield _Row(number, content, label, output)
                if number >= _LOOKED:
                    return
    except (pa.ArrowException, OSError, KeyError) as error:
        raise BundleError(f"the sample of {opened.bundle.name} cannot be read: {error}", "export it again") from None


def _mixed(seen: _Seen) -> list[_Row]:
    """A quarter are mistakes, where there are such; the rest are right ones of as many classes as possible."""
    wrong = _in_turn([rows for (_, right), rows in seen.kept.items() if not right])
    chosen = wrong[: COUNT // 4]
    classes: dict[str | None, list[_Row]] = {row.label: [] for row in chosen}
    for row in [row for (_, right), rows in seen.kept.items() if right for row in rows] + wrong[len(chosen) :]:
        classes.setdefault(row.label, []).append(row)
    groups, covered = list(classes.values()), len({row.label for row in chosen})
    rest = _in_turn(groups[covered:] + groups[:covered])  # first those that no mistake stands for
    return sorted([*chosen, *rest][:COUNT], key=lambda row: (str(row.label), row.number))


def _in_turn(groups: Sequence[Sequence[_Row]]) -> list[_Row]:
    return [row for turn in zip_longest(*groups) for row in turn if row is not None]


def _spread(seen: _Seen) -> list[_Row]:
    """From the lowest true value to the highest."""
    rows = sorted((row for group in seen.kept.values() for row in group), key=_value)
    step = max(1.0, (len(rows) - 1) / (COUNT - 1))
    return [rows[round(at * step)] for at in range(min(COUNT, len(rows)))]


def _value(row: _Row) -> float:
    try:
        return float(row.label or 0)
    except ValueError:
        return 0.0


def _written(task: Task, rows: Sequence[_Row]) -> list[Mapping[str, Any]]:
    written: list[Mapping[str, Any]] = []
    room = _LARGEST
    for row in rows:
        room -= len(row.content)
        if room >= 0:
            written.append({"input": _as_asked(task, row.content), "label": row.label, "output": row.output})
    return written


def _as_asked(task: Task, content: bytes) -> Any:
    return {"b64": b64encode(content).decode("ascii")} if task == "image" else _input(task, content)


def _input(task: Task, content: bytes) -> Any:
    try:
        return raw_input(task, content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"the sample holds what is no input: {error}", "export the model again") from None


def to_json(found: Mapping[str, Any]) -> bytes:
    """As the page reads it. Raises BundleError for what JSON cannot hold."""
    try:
        return json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise BundleError(f"the sample holds what is no input: {error}", "export the model again") from None
