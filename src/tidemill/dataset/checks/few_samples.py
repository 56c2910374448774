"""Classes with too few rows to learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.source import LEFT_OUT
from tidemill.domain.dataset import SPLITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def check_few_samples(labels: Sequence[str], splits: NDArray[np.uint8], inspection: Inspection) -> None:
    """Report classes with fewer rows in train than the policy asks for; left out, all of their rows are."""
    least = inspection.policy.min_samples
    train = SPLITS.index("train")
    counts = Counter(dict.fromkeys(sorted(set(labels)), 0))
    counts.update(label for label, split in zip(labels, splits.tolist(), strict=True) if split == train)
    few = sorted((count, label) for label, count in counts.items() if count < least)
    if not few:
        return
    names = {label for _, label in few}
    if inspection.leaves_out("few_samples"):
        for at, label in enumerate(labels):
            if label in names:
                splits[at] = LEFT_OUT
    have = "has" if len(few) == 1 else "have"
    inspection.add(
        "few_samples", len(few),
        f"{len(few):,} of {len(counts):,} classes {have} fewer than {least} rows in train",
        "add rows of them, or say how many are enough:  checks: {min_samples: N}",
        examples=(f"{label}: {count}" for count, label in few),
        classes={label: count for count, label in few},
    )  # fmt: skip
