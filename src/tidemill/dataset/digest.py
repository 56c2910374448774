"""The digest of a data set: every byte, label and name of it, whatever the order and the packing.

A row's hash is SHA-256 over its cells, columns sorted by name: a validity byte, then the little-endian bytes of a
fixed-width cell, or the SHA-256 of a string's or a file's bytes. The digest is SHA-256 over a header (task, kind,
columns with type and role, rows per split) and each split's row hashes in sorted order: a set with repetitions.
The row numbers that stand for names in a text table are no content; an image's path is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.dataset.hashes import HASH, Hashes, as_strings
from tidemill.domain.dataset import SPLITS, Column, Kind, Task
from tidemill.domain.digest import Digest, canonical_json

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_ROWS = 65_536


class RowHashes:
    """Collects the rows of a data set, in any order, and gives its digest."""

    def __init__(self, task: Task, kind: Kind, columns: Sequence[Column]) -> None:
        self._task, self._kind, self._columns = task, kind, tuple(columns)
        self._hashed = [column.name for column in hashed_columns(task, columns)]
        self._hashes = Hashes()
        self._splits: list[NDArray[np.uint8]] = []

    def add(self, split: str, rows: pa.RecordBatch) -> None:
        """Take `rows` of `split` in."""
        self._hashes.add(row_hashes(rows, self._hashed))
        self._splits.append(np.full(rows.num_rows, SPLITS.index(split), np.uint8))

    def digest(self) -> Digest:
        """The digest of everything added so far."""
        splits = np.concatenate(self._splits) if self._splits else np.empty(0, np.uint8)
        return dataset_digest(self._task, self._kind, self._columns, self._hashes, splits)


def dataset_digest(
    task: Task, kind: Kind, columns: Sequence[Column], hashes: Hashes, splits: NDArray[np.uint8]
) -> Digest:
    """The digest of rows whose `hashes` cover the hashed columns; `splits` are places in SPLITS, or LEFT_OUT."""
    counts = np.bincount(splits, minlength=len(SPLITS))
    header = {
        "digest": 1,
        "task": task,
        "kind": kind,
        "columns": sorted([column.name, column.type, column.role] for column in hashed_columns(task, columns)),
        "splits": {split: int(counts[at]) for at, split in enumerate(SPLITS) if counts[at]},
    }
    total = hashlib.sha256(canonical_json(header))
    for at in range(len(SPLITS)):
        if counts[at]:
            for indices, found in hashes.buckets():
                total.update(np.sort(as_strings(found[splits[indices] == at])).tobytes())
    return Digest("sha256:" + total.hexdigest())


def hashed_columns(task: Task, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns that are content."""
    return tuple(column for column in columns if task == "image" or column.role != "path")


def row_hashes(rows: pa.RecordBatch | pa.Table, columns: Sequence[str]) -> NDArray[np.uint8]:
    """SHA-256 of each row over `columns`, whose order does not matter; uint8 [N, 32]."""
    import pyarrow as pa

    batches = rows.to_batches(max_chunksize=_ROWS) if isinstance(rows, pa.Table) else [rows]
    parts = [_batch_hashes(batch.select(sorted(columns))) for batch in batches]
    return np.concatenate(parts) if parts else np.empty((0, HASH), np.uint8)


def _batch_hashes(batch: pa.RecordBatch) -> NDArray[np.uint8]:
    return hash_rows([_cells(batch.column(i)) for i in range(batch.num_columns)])


def hash_rows(columns: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """SHA-256 of each row of cells, which are uint8 [N, width] a column, in the order of the columns' names."""
    cells = np.ascontiguousarray(np.hstack(columns))
    count = len(cells)
    width, content = cells.shape[1], memoryview(cells.tobytes())
    return _join(hashlib.sha256(content[row * width : (row + 1) * width]).digest() for row in range(count))


def _cells(array: pa.Array) -> NDArray[np.uint8]:
    """The column as bytes [N, width]: a validity byte, then the cell; zeros where it is null."""
    import pyarrow as pa

    valid: NDArray[np.uint8] = _values(array.is_valid().cast(pa.uint8()))[:, None]
    if pa.types.is_null(array.type):
        return valid
    if pa.types.is_string(array.type):
        encoded = array.dictionary_encode()
        values = _join(hashlib.sha256(text.encode()).digest() for text in encoded.dictionary.to_pylist())
        taken = np.where(valid[:, 0], _values(encoded.indices), 0)
        content = values[taken] if len(values) else np.zeros((len(array), HASH), np.uint8)
    elif pa.types.is_binary(array.type):
        content = _join(hashlib.sha256(value or b"").digest() for value in array.to_pylist())
    else:
        content = _fixed(array)
    return np.hstack([valid, content * valid])


def _fixed(array: pa.Array) -> NDArray[np.uint8]:
    import pyarrow as pa

    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif pa.types.is_temporal(array.type):
        array = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    numbers = _values(array)
    little = np.ascontiguousarray(numbers, dtype=numbers.dtype.newbyteorder("<"))
    return np.frombuffer(little.tobytes(), np.uint8).reshape(len(array), -1)


def _values(array: pa.Array) -> NDArray[Any]:
    """The numbers as they lie there, anything where they are null. `to_numpy` and `fill_null` would load pandas."""
    import pyarrow as pa

    buffers = [None, array.buffers()[1]]
    return np.from_dlpack(pa.Array.from_buffers(array.type, len(array), buffers, offset=array.offset))


def _join(hashes: Iterable[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, HASH)
