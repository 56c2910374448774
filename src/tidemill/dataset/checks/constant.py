"""Columns that say nothing: one value in every row."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.dataset.checks.finding import Inspection
from tidemill.domain.dataset import Column


def check_constant(columns: Sequence[Column], inspection: Inspection) -> None:
    """Report the features that hold one value, or none, in all rows."""
    found = {}
    for column in columns:
        profile = inspection.columns[column.name]
        if column.role == "feature" and profile.distinct + (profile.nulls > 0) <= 1:
            found[column.name] = next(iter(profile.top), "nothing")
    if found:
        one = len(found) == 1
        inspection.add(
            "constant", len(found),
            f"{len(found)} column{' is' if one else 's are'} the same in every row: {', '.join(list(found)[:5])}",
            "a model learns nothing from it; leave it out of the table",
            examples=(f"{name} = {value}" for name, value in found.items()), columns=found,
        )  # fmt: skip
