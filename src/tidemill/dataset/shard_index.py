"""The row hashes of shards, kept beside them in a cache so that a shard is not read to compare it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.digest import hashed_columns, row_hashes
from tidemill.dataset.hashes import HASH, LIMIT
from tidemill.dataset.read import PackedDataset
from tidemill.dataset.source import Source
from tidemill.domain.dataset import SPLITS, Column, Shard, Task
from tidemill.domain.digest import Digest
from tidemill.files import write_atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shard_hashes(base: PackedDataset, shard: Shard, index: Path | None) -> NDArray[np.uint8]:
    """The row hashes of a shard, uint8 [rows, 32], from the folder `index` or else from the shard, and then kept."""
    names = _hashed(base.version.task, base.version.columns)
    if index is not None and (known := _read(_file(index, shard, names), shard.rows)) is not None:
        return known
    import pyarrow.parquet as pq

    batches = pq.ParquetFile(base.root / shard.path).iter_batches(batch_size=4096, columns=names)
    found = np.concatenate([row_hashes(batch, names) for batch in batches])
    if index is not None:
        _write(_file(index, shard, names), found)
    return found


def keep_new(
    source: Source,
    task: Task,
    split: str,
    shards: Sequence[Shard],
    wanted: NDArray[np.bool_] | None,
    index: Path | None,
) -> None:
    """Keep the row hashes of the shards that were just written of `source`'s rows, where they are in memory."""
    if index is None or not shards or len(source.rows.hashes) > LIMIT:
        return
    chosen = source.rows.splits == SPLITS.index(split)
    if wanted is not None:
        chosen &= wanted
    hashes = np.concatenate(list(source.rows.hashes.chunks()))[chosen]
    names, start = _hashed(task, source.columns), 0
    for shard in shards:
        _write(_file(index, shard, names), hashes[start : start + shard.rows])
        start += shard.rows


def _hashed(task: Task, columns: Sequence[Column]) -> list[str]:
    return [column.name for column in hashed_columns(task, columns)]


def _file(index: Path, shard: Shard, names: Sequence[str]) -> Path:
    return index / f"{Digest.of_json([1, shard.digest, list(names)]).hex[:32]}.rows"


def _read(file: Path, rows: int) -> NDArray[np.uint8] | None:
    try:
        content = file.read_bytes()
    except OSError:
        return None
    if len(content) != (rows + 1) * HASH or content[:HASH].hex() != Digest.of_bytes(content[HASH:]).hex:
        return None
    return np.frombuffer(content[HASH:], np.uint8).reshape(-1, HASH)


def _write(file: Path, hashes: NDArray[np.uint8]) -> None:
    content = hashes.tobytes()
    write_atomic(file, bytes.fromhex(Digest.of_bytes(content).hex) + content)
