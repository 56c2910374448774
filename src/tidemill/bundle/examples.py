"""What a page offers to try: some of the reference sample's inputs with their true labels, chosen at export."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tidemill.bundle.decide import decide
from tidemill.bundle.golden import read_golden
from tidemill.bundle.preprocess import asked, canonical_input, taken
from tidemill.bundle.protocols import required_files
from tidemill.bundle.read import OpenBundle
from tidemill.bundle.reference import MAX_INPUT
from tidemill.domain.bundle import Signature
from tidemill.domain.dataset import Task
from tidemill.errors import BundleError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tidemill.ports import Raw

FILE = "examples.json"
COUNT = 12
_LOOKED = 4096  # rows
_LARGEST = 4 << 20  # bytes of all examples
_MOST = 4 * COUNT
_NUMBERS = 1e300  # what is beyond is no number that a column had
_FIELDS = ("input", "label", "output")


class _Row(NamedTuple):
    """`label` is the true one, None where nobody kept it; `size` the bytes of the input."""

    number: int
    input: Raw
    label: str | None
    output: str
    size: int


@dataclass(slots=True)
class _Seen:
    """What is kept of the rows that pass: some of each class, right and wrong, and the range of each number."""

    kept: dict[tuple[str | None, bool], list[_Row]] = field(default_factory=lambda: defaultdict(list))
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, row: _Row, most: int) -> None:
        group = self.kept[row.label, row.label == row.output]
        if len(group) < most:
            group.append(row)

    def widen(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, int | float) and abs(value) < _NUMBERS:
                low, high = self.ranges.get(name, (value, value))
                self.ranges[name] = min(low, value), max(high, value)


def write_examples(
    directory: Path, signature: Signature, inputs: Sequence[Raw], scores: NDArray[np.float32], labels: Sequence[str]
) -> None:
    """Write examples.json: at most `COUNT` of `inputs`, from all classes, some of them mistakes, and what is usual.

    `scores` float32 [N, C] are the graph's for `inputs`, `labels` the true ones. Where there are such, they are of
    inputs that the sample keeps, too; larger ones only else.
    """
    outputs = decide(signature, scores)
    seen = _look(signature, _rows(inputs, outputs, labels, MAX_INPUT))
    if not seen.kept:
        seen = _look(signature, _rows(inputs, outputs, labels, _LARGEST))
    chosen = _mixed(seen) if signature.labels else _spread(seen)
    found = {"examples": _written(chosen), "ranges": {name: list(ends) for name, ends in seen.ranges.items()}}
    content = json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    (directory / FILE).write_text(content + "\n", encoding="utf-8")


def _look(signature: Signature, rows: Iterable[_Row]) -> _Seen:
    seen, classes = _Seen(), len(signature.labels)
    for row in rows:
        seen.take(row, max(COUNT // 3, math.ceil(COUNT / classes)) if classes else COUNT)
        if isinstance(row.input, Mapping):
            seen.widen(row.input)
    return seen


def read_examples(opened: OpenBundle) -> Mapping[str, Any]:
    """{"examples": [{"input", "label", "output"}], "ranges": {column: [low, high]}}; `input` is as /v1 takes it.

    Bundles of before protocol 3 have no such file: their golden requests stand in. Raises BundleError.
    """
    if FILE not in required_files(opened.bundle.protocol):
        golden = read_golden(opened)[:COUNT]
        rows = [_Row(n, row.input, None, row.output, len(canonical_input(row.input))) for n, row in enumerate(golden)]
        return {"examples": _written(rows), "ranges": {}}
    path = opened.directory / FILE
    try:
        found = json.loads(path.read_bytes())
        _check(opened.bundle.task, found)
        json.dumps(found, allow_nan=False)  # what it holds is JSON, but Python reads more than that
    except (ValueError, RecursionError, OSError) as error:
        raise BundleError(f"the examples of {opened.bundle.name} cannot be read: {error}", "export it again") from None
    return {"examples": found["examples"], "ranges": found["ranges"]}


def _check(task: Task, found: Any) -> None:
    """Raises ValueError for what a page could not show."""
    if not isinstance(found, dict) or not isinstance(found.get("examples"), list):
        raise ValueError("there is no list of examples")
    if len(found["examples"]) > _MOST:
        raise ValueError(f"there are more than {_MOST}")
    for each in found["examples"]:
        if not isinstance(each, dict) or sorted(each) != sorted(_FIELDS):
            raise ValueError("one is no input with its label and output")
        taken(task, each["input"])
        if not isinstance(each["label"], str | None) or not isinstance(each["output"], str):
            raise ValueError("one has a label or an output that is no text")
    ranges = found.get("ranges")
    if not isinstance(ranges, dict) or not all(map(_is_range, ranges.values())):
        raise ValueError("the ranges are none")


def _is_range(ends: Any) -> bool:
    return (
        isinstance(ends, list)
        and len(ends) == 2
        and all(type(end) in (int, float) and abs(end) < _NUMBERS for end in ends)
    )


def _rows(inputs: Sequence[Raw], outputs: Sequence[str], labels: Sequence[str], most: int) -> Iterator[_Row]:
    """The first rows whose input has at most so many bytes."""
    for number, (raw, output, label) in enumerate(zip(inputs[:_LOOKED], outputs, labels, strict=False)):
        size = len(canonical_input(raw))
        if size <= most:
            yield _Row(number, raw, label, output, size)


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


def _written(rows: Iterable[_Row]) -> list[Mapping[str, Any]]:
    written: list[Mapping[str, Any]] = []
    room = _LARGEST
    for row in rows:
        room -= row.size
        if room >= 0:
            written.append({"input": asked(row.input), "label": row.label, "output": row.output})
    return written
