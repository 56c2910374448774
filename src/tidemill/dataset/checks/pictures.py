"""All checks of a picture set, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.checks.duplicates import Rows, check_equal, check_near
from tidemill.dataset.checks.few_samples import check_few_samples
from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.checks.near import candidates, confirmed
from tidemill.dataset.pictures import Checked, read_small
from tidemill.dataset.source import LEFT_OUT
from tidemill.domain.dataset import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TRAIN = SPLITS.index("train")


def check_pictures(
    names: Sequence[str], labels: Sequence[str], checked: Sequence[Checked], content: Callable[[int], bytes],
    splits: NDArray[np.uint8], inspection: Inspection,
) -> None:  # fmt: skip
    """Look for duplicates, near duplicates and small classes among pictures that decode.

    `content` reads a picture's bytes. `splits` are places in SPLITS; what is left out becomes LEFT_OUT there. Near
    duplicates cost 22 bytes a picture, and a second decoding of the few that look alike.
    """
    rows = Rows(lambda at: names[at], labels, splits, "picture")
    first = check_equal(rows, np.array([each.digest for each in checked], "S32"), inspection)
    if inspection.policy.near:
        alike = [each.look if first[at] else b"" for at, each in enumerate(checked)]
        check_near(rows, *confirmed(candidates(alike), lambda at: read_small(content(at))), inspection)
    train = Counter(label for label, split in zip(labels, splits.tolist(), strict=True) if split == _TRAIN)
    few = check_few_samples({label: train[label] for label in sorted(set(labels))}, inspection)
    if few:
        splits[[label in few for label in labels]] = LEFT_OUT
