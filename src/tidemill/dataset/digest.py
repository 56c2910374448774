"""The digest of a data set: every byte, label and name of it, whatever the order and the packing.

A row's hash is SHA-256 over its cells, columns sorted by name: a validity byte, then the little-endian bytes of a
fixed-width cell, or the SHA-256 of a string's or a file's bytes. The digest is SHA-256 over a header (task, kind,
columns with type and role, rows per split) and each split's row hashes in sorted order: a set with repetitions.
The row numbers that stand for names in a text table are no content; an image's path is.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.domain.dataset import SPLITS, Column, Kind, Task
from tidemill.domain.digest import Digest, canonical_json

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

HASH = 32
_ROWS = 65_536


class RowHashes:
    """Collects the rows of a data set, in any order, and gives its digest."""

    def __init__(self, task: Task, kind: Kind, columns: Sequence[Column]) -> None:
        self._task, self._kind = task, kind
        self._columns = hashed_columns(task, columns)
        self._rows: dict[str, list[NDArray[np.uint8]]] = defaultdict(list)

    def add(self, split: str, rows: pa.RecordBatch) -> None:
        """Take `rows` of `split` in."""
        self._rows[split].append(row_hashes(rows, [column.name for column in self._columns]))

    def digest(self) -> Digest:
        """The digest of everything added so far."""
        sets = {split: sorted_hashes(self._rows[split]) for split in SPLITS if self._rows[split]}
        header = {
            "digest": 1,
            "task": self._task,
            "kind": self._kind,
            "columns": sorted([column.name, column.type, column.role] for column in self._columns),
            "splits": {split: len(rows) for split, rows in sets.items()},
        }
        total = hashlib.sha256(canonical_json(header))
        for rows in sets.values():
            total.update(rows.tobytes())
        return Digest("sha256:" + total.hexdigest())


def hashed_columns(task: Task, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns that are content."""
    return tuple(column for column in columns if task == "image" or column.role != "path")


def sorted_hashes(parts: Iterable[NDArray[np.uint8]]) -> NDArray[np.bytes_]:
    """Row hashes [N, 32] as one sorted array of 32-byte strings [N]."""
    return np.sort(as_strings(np.concatenate(list(parts))))


def as_strings(hashes: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """Hashes uint8 [N, 32] as an array of 32-byte strings [N]."""
    return np.frombuffer(hashes.tobytes(), f"S{HASH}")


def row_hashes(rows: pa.RecordBatch | pa.Table, columns: Sequence[str]) -> NDArray[np.uint8]:
    """SHA-256 of each row over `columns`, whose order does not matter; uint8 [N, 32]."""
    import pyarrow as pa

    batches = rows.to_batches(max_chunksize=_ROWS) if isinstance(rows, pa.Table) else [rows]
    parts = [_batch_hashes(batch.select(sorted(columns))) for batch in batches]
    return np.concatenate(parts) if parts else np.empty((0, HASH), np.uint8)


def _batch_hashes(batch: pa.RecordBatch) -> NDArray[np.uint8]:
    count = batch.num_rows
    cells = np.ascontiguousarray(np.hstack([_cells(batch.column(i)) for i in range(batch.num_columns)]))
    width, content = cells.shape[1], memoryview(cells.tobytes())
    return _join(hashlib.sha256(content[row * width : (row + 1) * width]).digest() for row in range(count))


def _cells(array: pa.Array) -> NDArray[np.uint8]:
    """The column as bytes [N, width]: a validity byte, then the cell; zeros where it is null."""
    import pyarrow as pa

    valid: NDArray[np.uint8] = array.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8)[:, None]
    if pa.types.is_null(array.type):
        return valid
    if pa.types.is_string(array.type):
        encoded = array.dictionary_encode()
        values = _join(hashlib.sha256(text.encode()).digest() for text in encoded.dictionary.to_pylist())
        taken = encoded.indices.fill_null(0).to_numpy()
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
    numbers: NDArray[Any] = array.fill_null(0).to_numpy(zero_copy_only=False)
    little = np.ascontiguousarray(numbers, dtype=numbers.dtype.newbyteorder("<"))
    return np.frombuffer(little.tobytes(), np.uint8).reshape(len(array), -1)


def _join(hashes: Iterable[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, HASH)
