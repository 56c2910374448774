"""Pictures on their way into a packed data set: what is known of each, and where its bytes are."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.checks.near import likeness
from tidemill.dataset.checks.pictures import check_pictures
from tidemill.dataset.digest import hash_rows
from tidemill.dataset.draws import assign_pictures
from tidemill.dataset.hashes import Hashes
from tidemill.dataset.pictures import Checked, read_small
from tidemill.dataset.source import LEFT_OUT, Pictures, Source
from tidemill.domain.dataset import SPLITS, Column
from tidemill.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from tidemill.dataset.checks.likeness import Compare

COLUMNS = (Column("name", "string", "path"), Column("label", "string", "target"), Column("data", "binary", "image"))
_BATCH_BYTES = 8_000_000

Contents = Callable[[Sequence[int]], Iterator[bytes]]
"""Gives the bytes of some pictures, by their numbers, which ascend. Raises DataError when one has changed (`same`)."""


class Named(NamedTuple):
    """A picture that was checked; `split` is None where none was given."""

    name: str
    split: str | None
    label: str
    checked: Checked


@dataclass(frozen=True, slots=True)
class PictureRows:
    """The rows of `pictures`, whose bytes `contents` reads."""

    pictures: Sequence[Named]
    contents: Contents
    hashes: Hashes
    splits: NDArray[np.uint8]

    def read(self, wanted: NDArray[np.bool_] | None = None) -> Iterator[tuple[str, pa.RecordBatch]]:
        """As `source.Rows.read`. Raises DataError when a file has changed since it was checked."""
        chosen = self.splits != LEFT_OUT if wanted is None else wanted & (self.splits != LEFT_OUT)
        numbers = np.flatnonzero(chosen).tolist()
        rows: dict[int, list[tuple[str, str, bytes]]] = {}
        sizes: Counter[int] = Counter()
        for number, content in zip(numbers, self.contents(numbers), strict=True):
            picture, place = self.pictures[number], int(self.splits[number])
            rows.setdefault(place, []).append((picture.name, picture.label, content))
            sizes[place] += len(content)
            if sizes[place] > _BATCH_BYTES:
                yield SPLITS[place], _batch(rows.pop(place))
                sizes[place] = 0
        for place, rest in rows.items():
            yield SPLITS[place], _batch(rest)


def same(content: bytes, name: str, checked: Checked) -> bytes:
    """`content` that was read again. Raises DataError when it is not what was checked."""
    if hashlib.sha256(content).digest() != checked.digest:
        raise DataError(f"{name} was changed while it was read", "run the same command again")
    return content


def picture_source(
    pictures: Sequence[Named],
    contents: Contents,
    inspection: Inspection,
    *,
    compare: Compare | None = None,
    memory: Path | None = None,
) -> Source:
    """Pictures that were checked, with their splits. `inspection` hears of duplicates and small classes.

    `compare` is `near.likeness` of some pairs, where there is a faster way than from their `contents`; `memory` is a
    file for what it finds.
    """

    def from_contents(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        return likeness(pairs, lambda places: [read_small(content) for content in contents(places)])

    hashes = _hashes(pictures)
    splits = assign_pictures([each.split for each in pictures], [each.checked.digest for each in pictures])
    check_pictures(
        [each.name for each in pictures], [each.label for each in pictures], [each.checked for each in pictures],
        compare or from_contents, splits, inspection, memory,
    )  # fmt: skip
    facts = Pictures(
        round(median(each.checked.height for each in pictures)),
        round(median(each.checked.width for each in pictures)),
        all(each.checked.grey for each in pictures),
    )
    return Source("classification", COLUMNS, PictureRows(pictures, contents, hashes, splits), facts)


def _hashes(pictures: Sequence[Named]) -> Hashes:
    """The rows' hashes, from the digests of the files' bytes."""
    labels = {label: hashlib.sha256(label.encode()).digest() for label in {each.label for each in pictures}}
    valid = np.ones((len(pictures), 1), np.uint8)
    cells = {
        "data": b"".join(each.checked.digest for each in pictures),
        "label": b"".join(labels[each.label] for each in pictures),
        "name": b"".join(hashlib.sha256(each.name.encode()).digest() for each in pictures),
    }
    columns = [np.hstack([valid, np.frombuffer(cells[name], np.uint8).reshape(-1, 32)]) for name in sorted(cells)]
    hashes = Hashes()
    hashes.add(hash_rows(columns))
    return hashes


def _batch(rows: Sequence[tuple[str, str, bytes]]) -> pa.RecordBatch:
    import pyarrow as pa

    names, labels, contents = zip(*rows, strict=True)
    return pa.record_batch(
        [
            _array(pa.string(), [name.encode() for name in names]),
            _array(pa.string(), [label.encode() for label in labels]),
            _array(pa.binary(), contents),
        ],
        names=[column.name for column in COLUMNS],
    )


def _array(kind: pa.DataType, values: Sequence[bytes]) -> pa.Array:
    """As `pa.array`, which would import pandas to see whether it was given its kind of list."""
    import pyarrow as pa

    ends = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=ends[1:])
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))])
