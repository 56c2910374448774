"""All checks of a table's rows, in one pass: impossible values, constant columns, small classes, a changed scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.checks.constant import check_constant
from tidemill.dataset.checks.equal_rows import check_equal_rows
from tidemill.dataset.checks.few_samples import check_few_samples, leave_out_classes
from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.checks.ranges import Ranges
from tidemill.dataset.checks.scale import check_scale
from tidemill.dataset.profile import Profiler
from tidemill.dataset.source import LEFT_OUT, Source
from tidemill.domain.dataset import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_table(source: Source, inspection: Inspection, *, given: bool) -> None:
    """Look at every row once. What is left out becomes LEFT_OUT in the source's splits.

    `given` says whether the rows came in splits, so that equal rows may be in two of them. The profile of each column
    is of all rows that came.
    """
    target = next(column.name for column in source.columns if column.role == "target")
    ranges = Ranges(inspection.policy.ranges, source.columns)
    profilers = {column.name: Profiler(column.type) for column in source.columns}
    splits = source.rows.splits
    places = {split: np.flatnonzero(splits == at) for at, split in enumerate(SPLITS)}
    seen: dict[str, int] = dict.fromkeys(SPLITS, 0)
    classes: dict[str, dict[str, int]] = {split: {} for split in SPLITS}
    for split, batch in source.rows.read():
        rows = places[split][seen[split] : seen[split] + batch.num_rows]
        seen[split] += batch.num_rows
        ranges.add(batch, rows)
        for name, profiler in profilers.items():
            profiler.add(batch.column(name))
        if source.kind == "classification":
            for entry in batch.column(target).value_counts().to_pylist():
                classes[split][entry["values"]] = classes[split].get(entry["values"], 0) + entry["counts"]
    inspection.columns = {name: profiler.describe() for name, profiler in profilers.items()}
    _leave_out(splits, ranges.report(inspection))
    if given:
        check_equal_rows(source, inspection)
    check_constant(source.columns, inspection)
    check_scale(source.columns, inspection)
    if source.kind == "classification":
        few = check_few_samples(_everywhere(classes), inspection)
        leave_out_classes(source, few)


def _leave_out(splits: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
    splits[rows] = LEFT_OUT


def _everywhere(classes: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """The rows in train of each class of any split."""
    names = sorted({name for counts in classes.values() for name in counts})
    return {name: classes["train"].get(name, 0) for name in names}
