"""Pictures that cannot be used: damaged, empty, too large, or none at all."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.dataset.checks.finding import Inspection
from tidemill.errors import DataError


def check_decodable(faults: Sequence[DataError], total: int, inspection: Inspection) -> None:
    """Those of `total` pictures that do not decode are one finding, each named with what is wrong with it."""
    if not faults:
        return
    headline, remedy = faults[0].headline, faults[0].remedy
    if len(faults) > 1 or inspection.leaves_out("undecodable"):
        headline = f"{len(faults):,} of {total:,} pictures cannot be used"
        remedy = "remove them or get them again, or leave them out:  --on-problem leave-out"
    elif remedy:
        remedy += ", or leave it out:  --on-problem leave-out"
    inspection.add("undecodable", len(faults), headline, remedy, examples=(each.headline for each in faults))
