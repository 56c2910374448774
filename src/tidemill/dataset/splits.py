"""Where splits come from: the names that folders and files have, or a draw from the content of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

VAL_SHARE, TEST_SHARE = 0.10, 0.20

_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "evaluation": "test", "eval": "test",
}  # fmt: skip


def split_named(name: str) -> str | None:
    """The split that a folder or file called `name` holds, in any case; None when the name means none."""
    return _NAMES.get(name.lower())


def draw(hashes: NDArray[np.uint8], missing: frozenset[str], *, whole: bool = True) -> NDArray[np.str_]:
    """The split of each row that came without one: 'train', or one of `missing`.

    `hashes` is uint8 [N, 32], of the rows' content. A row's split depends on its own hash alone, so it stays where it
    is in later versions, and equal rows share it. Only when a draw of a `whole` set leaves a split without a row (a
    handful of rows), the row nearest to it goes there.
    """
    position = np.ascontiguousarray(hashes[:, :8]).view(">u8").ravel() / 2.0**64
    splits = np.full(len(position), "train", dtype="U5")
    low = 0.0
    for split, share in (("test", TEST_SHARE), ("val", VAL_SHARE)):
        if split in missing:
            splits[(position >= low) & (position < low + share)] = split
            low += share
    for split in sorted(missing | {"train"}) if whole else ():
        if not (splits == split).any():
            _give_one(splits, split, position)
    return splits


def _give_one(splits: NDArray[np.str_], split: str, position: NDArray[np.float64]) -> None:
    largest = max(set(splits.tolist()), key=lambda name: int((splits == name).sum()))
    candidates = np.flatnonzero(splits == largest)
    if len(set(position[candidates].tolist())) < 2:
        return
    chosen = position[candidates].max() if split == "train" else position[candidates].min()
    splits[position == chosen] = split
