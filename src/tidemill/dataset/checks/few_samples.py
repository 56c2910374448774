"""Classes with too few rows to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.source import LEFT_OUT, Source
from tidemill.domain.dataset import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_few_samples(counts: Mapping[str, int], inspection: Inspection) -> frozenset[str]:
    """Report classes with fewer rows in train than the policy asks for; returns those to leave out.

    `counts` are the rows in train of each class of any split.
    """
    least = inspection.policy.min_samples
    few = sorted((count, label) for label, count in counts.items() if count < least)
    if not few:
        return frozenset()
    have = "has" if len(few) == 1 else "have"
    inspection.add(
        "few_samples", len(few),
        f"{len(few):,} of {len(counts):,} classes {have} fewer than {least} rows in train",
        "add rows of them, or say how many are enough,  " + inspection.policy.setting("min_samples: N"),
        examples=(f"{label}: {count}" for count, label in few),
        classes={label: count for count, label in few},
    )  # fmt: skip
    return frozenset(label for _, label in few) if inspection.leaves_out("few_samples") else frozenset()


def leave_out_classes(source: Source, classes: frozenset[str]) -> None:
    """Every row of `classes` becomes LEFT_OUT."""
    if not classes:
        return
    target = next(column.name for column in source.columns if column.role == "target")
    splits = source.rows.splits
    places = {split: np.flatnonzero(splits == at) for at, split in enumerate(SPLITS)}
    gone: list[NDArray[np.int64]] = []
    for split, batch in source.rows.read():
        rows, places[split] = places[split][: batch.num_rows], places[split][batch.num_rows :]
        gone.append(rows[[label in classes for label in batch.column(target).to_pylist()]])
    splits[np.concatenate(gone)] = LEFT_OUT
