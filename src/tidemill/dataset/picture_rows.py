"""Pictures on their way into a packed data set: what is known of each, and where its bytes are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.checks.near import likeness
from tidemill.dataset.checks.pictures import check_pictures
from tidemill.dataset.digest import hash_rows
from tidemill.dataset.draws import assign_pictures
from tidemill.dataset.hashes import Hashes
from tidemill.dataset.pictures import Facts, bombs_are_errors, read_small
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

Content = bytes | memoryview
Contents = Callable[[Sequence[int]], Iterator[Content]]
"""Gives the bytes of some pictures, by their numbers, which ascend. Raises DataError when one has changed (`same`)."""


class Named(NamedTuple):
    """Pictures that decode: of each its name, split (None where none was given), label and facts."""

    names: Sequence[str]
    splits: Sequence[str | None]
    labels: Sequence[str]
    facts: Facts


@dataclass(frozen=True, slots=True)
class PictureRows:
    """The rows of pictures, whose bytes `contents` reads."""

    names: Sequence[str]
    labels: Sequence[str]
    contents: Contents
    hashes: Hashes
    splits: NDArray[np.uint8]

    def read(self, wanted: NDArray[np.bool_] | None = None) -> Iterator[tuple[str, pa.RecordBatch]]:
        """As `source.Rows.read`. Raises DataError when a file has changed since it was checked."""
        chosen = self.splits != LEFT_OUT if wanted is None else wanted & (self.splits != LEFT_OUT)
        numbers = np.flatnonzero(chosen).tolist()
        places: list[int] = self.splits[chosen].tolist()
        rows: list[tuple[list[int], list[Content]]] = [([], []) for _ in SPLITS]
        sizes = [0] * len(SPLITS)
        for number, place, content in zip(numbers, places, self.contents(numbers), strict=True):
            some, contents = rows[place]
            some.append(number)
            contents.append(content)
            sizes[place] += len(content)
            if sizes[place] > _BATCH_BYTES:
                yield SPLITS[place], self._batch(some, contents)
                rows[place], sizes[place] = ([], []), 0
        for split, (some, contents) in zip(SPLITS, rows, strict=True):
            if some:
                yield split, self._batch(some, contents)

    def _batch(self, numbers: Sequence[int], contents: Sequence[Content]) -> pa.RecordBatch:
        import pyarrow as pa

        return pa.record_batch(
            [
                _array(pa.string(), [self.names[number].encode() for number in numbers]),
                _array(pa.string(), [self.labels[number].encode() for number in numbers]),
                _array(pa.binary(), contents),
            ],
            names=[column.name for column in COLUMNS],
        )


def same(content: bytes, name: str, digest: bytes) -> bytes:
    """`content` that was read again. Raises DataError when it is not what was checked."""
    if hashlib.sha256(content).digest() != digest:
        raise DataError(f"{name} was changed while it was read", "run the same command again")
    return content


def picture_source(
    pictures: Named,
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
        with bombs_are_errors():
            return likeness(pairs, lambda places: [read_small(bytes(content)) for content in contents(places)])

    names, labels, facts = pictures.names, pictures.labels, pictures.facts
    hashes = _hashes(names, labels, facts)
    splits = assign_pictures(pictures.splits, facts.digests)
    check_pictures(names, labels, facts, compare or from_contents, splits, inspection, memory)
    height, width = (round(float(np.median(facts.shapes[:, side]))) for side in (0, 1))
    looks = Pictures(height, width, bool(facts.shapes[:, 2].all()))
    return Source("classification", COLUMNS, PictureRows(names, labels, contents, hashes, splits), looks)


def _hashes(names: Sequence[str], labels: Sequence[str], facts: Facts) -> Hashes:
    """The rows' hashes, from the digests of the files' bytes."""
    known = {label: hashlib.sha256(label.encode()).digest() for label in set(labels)}
    valid = np.ones((len(names), 1), np.uint8)
    label_digests = _digests(known[label] for label in labels)
    name_digests = _digests(hashlib.sha256(name.encode()).digest() for name in names)
    hashes = Hashes()
    hashes.add(hash_rows([valid, facts.digests, valid, label_digests, valid, name_digests]))  # data, label, name
    return hashes


def _digests(each: Iterator[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(each), np.uint8).reshape(-1, 32)


def _array(kind: pa.DataType, values: Sequence[Content]) -> pa.Array:
    """As `pa.array`, which would import pandas to see whether it was given its kind of list."""
    import pyarrow as pa

    ends = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=ends[1:])
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))])
