"""Which split each row belongs to: the one it came in, or one drawn by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.hashes import HASH, Hashes, ranks
from tidemill.dataset.source import LEFT_OUT
from tidemill.dataset.splits import draw
from tidemill.domain.dataset import SPLITS
from tidemill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_TRAIN = SPLITS.index("train")


def assign(rows: Mapping[str | None, int], hashes: Hashes, *, part_equal: bool) -> NDArray[np.uint8]:
    """The split of each row, as its place in SPLITS: the given one, or drawn by content where val or test is missing.

    `rows` is how many rows came in each split, in order; None stands for no split. Equal hashes are drawn into one
    split, unless `part_equal`. Raises DataError when there are too few rows for three splits.
    """
    given = [_TRAIN if split is None else SPLITS.index(split) for split in rows]
    splits = np.repeat(np.array(given, np.uint8), list(rows.values()))
    missing = frozenset({"val", "test"} - set(rows))
    if missing:
        for indices, found in hashes.buckets():
            drawn = splits[indices] == _TRAIN
            chosen = indices[drawn]
            if len(chosen):
                told = tell_apart(found[drawn]) if part_equal else found[drawn]
                names = draw(told, missing, whole=len(indices) == len(splits))
                splits[chosen] = _places(names)
    _refuse_empty(splits, "rows")
    return splits


def assign_pictures(given: Sequence[str | None], digests: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As `assign`, for pictures that came in any order; those with equal `digests`, uint8 [N, 32], are drawn into one
    split."""
    splits = np.array([_TRAIN if split is None else SPLITS.index(split) for split in given], np.uint8)
    missing = frozenset({"val", "test"} - set(given))
    if missing:
        drawn = np.flatnonzero(splits == _TRAIN)
        splits[drawn] = _places(draw(digests[drawn], missing))
    _refuse_empty(splits, "pictures")
    return splits


def _refuse_empty(splits: NDArray[np.uint8], what: str) -> None:
    for place, count in enumerate(np.bincount(splits, minlength=len(SPLITS))):
        if not count:
            raise DataError(
                f"{len(splits)} {what} are too few to draw a {SPLITS[place]} split from", f"add more {what}"
            )


def _places(names: NDArray[np.str_]) -> NDArray[np.uint8]:
    places = np.full(len(names), LEFT_OUT, np.uint8)
    for place, split in enumerate(SPLITS):
        places[names == split] = place
    return places


def tell_apart(hashes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hashes in which the second, third, … of equal rows got another one, so that a draw can part them."""
    told = hashes.copy()
    repetition = ranks(hashes)
    for row in np.flatnonzero(repetition).tolist():
        content = hashlib.sha256(hashes[row].tobytes() + int(repetition[row]).to_bytes(8, "little")).digest()
        told[row] = np.frombuffer(content, np.uint8, HASH)
    return told


def part(
    batches: Iterator[pa.RecordBatch], splits: NDArray[np.uint8], wanted: NDArray[np.bool_] | None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of `batches`, which together are those of `splits`, each under its split; some only, where `wanted`."""
    start = 0
    for batch in batches:
        places = splits[start : start + batch.num_rows]
        if wanted is not None:
            places = np.where(wanted[start : start + batch.num_rows], places, LEFT_OUT)
        start += batch.num_rows
        for place, split in enumerate(SPLITS):
            chosen = np.flatnonzero(places == place)
            if len(chosen) == batch.num_rows:
                yield split, batch
            elif len(chosen):
                yield split, batch.take(chosen)
