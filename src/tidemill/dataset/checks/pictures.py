"""All checks of a picture set, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.checks.duplicates import Rows, check_equal, check_near
from tidemill.dataset.checks.few_samples import check_few_samples
from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.checks.likeness import remembered_likeness
from tidemill.dataset.checks.near import candidates, most_alike
from tidemill.dataset.hashes import as_strings
from tidemill.dataset.pictures import Facts
from tidemill.dataset.source import LEFT_OUT
from tidemill.domain.dataset import SPLITS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tidemill.dataset.checks.likeness import Compare

_TRAIN = SPLITS.index("train")


def check_pictures(
    names: Sequence[str], labels: Sequence[str], facts: Facts, compare: Compare,
    splits: NDArray[np.uint8], inspection: Inspection, memory: Path | None = None,
) -> None:  # fmt: skip
    """Look for duplicates, near duplicates and small classes among pictures that decode.

    `compare` gives the likeness of pairs. `splits` are places in SPLITS; what is left out becomes LEFT_OUT there. Near
    duplicates cost 22 bytes a picture, and a second decoding of the few that look alike; the file `memory` keeps how
    alike they are, so that the next time only new pairs are looked at.
    """
    rows = Rows(lambda at: names[at], labels, splits, "picture")
    digests = as_strings(facts.digests)
    first = check_equal(rows, digests, inspection)
    if inspection.policy.near:
        pairs = candidates(np.where(first[:, None], facts.looks, 0))
        alike = remembered_likeness(pairs, digests, compare, memory)
        check_near(rows, *most_alike(pairs, alike), inspection)
    train = Counter(label for label, split in zip(labels, splits.tolist(), strict=True) if split == _TRAIN)
    few = check_few_samples({label: train[label] for label in sorted(set(labels))}, inspection)
    if few:
        splits[[label in few for label in labels]] = LEFT_OUT
