"""The rows of a split as numbers that can be compared: 48 bytes a row, of which the larger part may lie in a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.digest import row_hashes
from tidemill.dataset.hashes import Hashes
from tidemill.dataset.read import PackedDataset
from tidemill.domain.dataset import DatasetVersion, Shard

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SplitRows:
    """Rows of one split: the hash of their content, and numbers for label and name, uint64 [N]. `places` are their
    numbers in the split, int64 [N]. Rows of tables and texts have no name: all have the number 0."""

    content: Hashes
    labels: NDArray[np.uint64]
    names: NDArray[np.uint64]
    places: NDArray[np.int64]


def has_split(version: DatasetVersion, split: str) -> bool:
    """Whether the version has that split."""
    return any(each.name == split for each in version.splits)


def content_columns(version: DatasetVersion) -> set[str]:
    """The columns that are a row's content: neither what is predicted nor its name."""
    return {column.name for column in version.columns if column.role not in ("target", "path")}


def read_rows(data: PackedDataset, split: str, columns: Sequence[str], shared: frozenset[str]) -> SplitRows:
    """The rows of a split but those in the `shared` shards (paths), which both versions have.

    `columns` are hashed as content, in any order.
    """
    import pyarrow.parquet as pq

    content = Hashes()
    labels, names, places = [], [], []
    start = 0
    target, path = _special(data.version)
    for shard in _shards(data.version, split):
        if shard.path not in shared:
            wanted = sorted({*columns, target, *([path] if path else [])})
            with pq.ParquetFile(data.root / shard.path) as opened:
                for batch in opened.iter_batches(batch_size=4096, columns=wanted):
                    content.add(row_hashes(batch, sorted(columns)))
                    labels.append(numbered(batch.column(target)))
                    named = numbered(batch.column(path)) if path else np.zeros(batch.num_rows, np.uint64)
                    names.append(named)
            places.append(np.arange(start, start + shard.rows))
        start += shard.rows
    empty = np.empty(0, np.uint64)
    return SplitRows(
        content,
        np.concatenate([empty, *labels]),
        np.concatenate([empty, *names]),
        np.concatenate([np.empty(0, np.int64), *places]),
    )


def _special(version: DatasetVersion) -> tuple[str, str | None]:
    path = next((c.name for c in version.columns if c.role == "path" and version.task == "image"), None)
    return version.column("target").name, path


def _shards(version: DatasetVersion, split: str) -> Iterable[Shard]:
    return version.split(split).shards if has_split(version, split) else ()


def numbered(cells: pa.Array) -> NDArray[np.uint64]:
    """A number for each cell that is the same for equal cells, also in another version; uint64 [N]."""
    codes = cells.dictionary_encode()
    values = [hashlib.blake2b(repr(value).encode(), digest_size=8).digest() for value in codes.dictionary.to_pylist()]
    table = np.frombuffer(b"".join([*values, bytes(8)]), np.uint64)
    places: NDArray[np.int64] = codes.indices.fill_null(len(values)).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.asarray(table[places])
