"""Pictures that cannot be used: damaged, empty, too large, or none at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from tidemill.dataset.checks.finding import Inspection
from tidemill.errors import DataError

T = TypeVar("T")


def check_decodable(checked: Sequence[T | DataError], inspection: Inspection) -> list[int]:
    """The places of those that decode; the others are one finding, each named with what is wrong with it."""
    faults = [each for each in checked if isinstance(each, DataError)]
    if faults:
        first = faults[0]
        headline, remedy = first.headline, first.remedy
        if len(faults) > 1 or inspection.leaves_out("undecodable"):
            headline = f"{len(faults):,} of {len(checked):,} pictures cannot be used"
            remedy = "remove them or get them again, or leave them out:  --on-problem leave-out"
        elif remedy:
            remedy += ", or leave it out:  --on-problem leave-out"
        inspection.add("undecodable", len(faults), headline, remedy, examples=(each.headline for each in faults))
    return [at for at, each in enumerate(checked) if not isinstance(each, DataError)]
