"""Equal rows of tables in two splits. In tables of few values they are natural: their share is what counts."""

from __future__ import annotations

import numpy as np

from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.hashes import counts_in
from tidemill.dataset.source import LEFT_OUT, Source
from tidemill.domain.dataset import SPLITS

_TRAIN = SPLITS.index("train")


def check_equal_rows(source: Source, inspection: Inspection) -> None:
    """Say how many rows of val and test are in train too: what they measure was partly learned by heart.

    Left out, it is the rows in train.
    """
    hashes, splits = source.rows.hashes, source.rows.splits
    shared = dict.fromkeys(SPLITS[1:], 0)
    gone = []
    for indices, found in hashes.buckets():
        place = splits[indices]
        learned = place == _TRAIN
        for split in shared:
            rows = found[place == SPLITS.index(split)]
            shared[split] += int((counts_in(rows, found[learned]) > 0).sum())
        judged = found[(place != _TRAIN) & (place != LEFT_OUT)]
        gone.append(indices[learned][counts_in(found[learned], judged) > 0])
    sizes = {split: int((splits == SPLITS.index(split)).sum()) for split in shared}
    said = [f"{n:,} of {sizes[s]:,} {s} rows ({n / sizes[s]:.1%}) are in train, too" for s, n in shared.items() if n]
    if not said:
        return
    if inspection.leaves_out("equal_rows"):
        splits[np.concatenate(gone)] = LEFT_OUT
    inspection.add(
        "equal_rows", sum(shared.values()), " and ".join(said),
        "natural where columns hold few values; to leave those in train out,  "
        + inspection.policy.setting("equal_rows: leave-out"),
        shares=shared,
    )  # fmt: skip
