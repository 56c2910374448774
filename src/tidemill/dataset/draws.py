"""From one table of rows to batches that each belong to a split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.digest import HASH, as_strings
from tidemill.dataset.source import Note
from tidemill.dataset.splits import draw
from tidemill.domain.dataset import SPLITS
from tidemill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_ROWS = 65_536


def given_splits(tables: Mapping[str | None, pa.Table]) -> NDArray[np.str_]:
    """The split that each row came in, in the order of `columns.unite`; '' where it came in none."""
    return np.repeat(
        np.array([split or "" for split in tables], dtype="U5"), [table.num_rows for table in tables.values()]
    )


def assign(given: NDArray[np.str_], hashes: NDArray[np.uint8]) -> NDArray[np.str_]:
    """The split of each row: the given one, or drawn by content where val or test is missing.

    Raises DataError when there are too few rows for three splits.
    """
    missing = frozenset({"val", "test"} - set(np.unique(given).tolist()))
    splits = np.where(given == "", "train", given)
    if missing:
        rows = np.flatnonzero(splits == "train")
        splits[rows] = draw(hashes[rows], missing)
    for split in SPLITS:
        if not (splits == split).any():
            raise DataError(f"{len(given)} rows are too few to draw a {split} split from", "add more rows")
    return splits


def tell_apart(hashes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hashes in which the second, third, … of equal rows got another one, so that a draw can part them."""
    order = np.argsort(as_strings(hashes), kind="stable")
    ordered = as_strings(hashes)[order]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    repetition = np.arange(len(order)) - np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    told = hashes.copy()
    for row, count in zip(order[~starts].tolist(), repetition[~starts].tolist(), strict=True):
        content = hashlib.sha256(hashes[row].tobytes() + count.to_bytes(8, "little")).digest()
        told[row] = np.frombuffer(content, np.uint8, HASH)
    return told


def mention_shared(splits: NDArray[np.str_], hashes: NDArray[np.uint8], note: Note) -> None:
    """Say how many rows of val and test are in train too: what they measure was partly learned by heart."""
    rows = as_strings(hashes)
    known = rows[splits == "train"]
    for split in ("val", "test"):
        shared = int(np.isin(rows[splits == split], known).sum())
        if shared:
            note(f"{shared:,} of {int((splits == split).sum()):,} {split} rows are in train, too")


def batches(table: pa.Table, splits: NDArray[np.str_]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each split in their order."""
    for split in SPLITS:
        chosen = np.flatnonzero(splits == split)
        for start in range(0, len(chosen), _ROWS):
            part = table.take(chosen[start : start + _ROWS]).combine_chunks()
            for batch in part.to_batches():
                yield split, batch
