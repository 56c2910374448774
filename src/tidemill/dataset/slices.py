"""Parts of a split that can be read alone, in any order: some rows of one row group of one shard."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.dataset.read import PackedDataset

_PARTS = 8  # of a row group, which is read whole for each of them: more would cost reading, fewer mix rows less
_FEWEST = 32  # rows


class Slice(NamedTuple):
    """Rows `start` to `stop` of row group `group` of the file `path`; `first` is the first one's place in the split."""

    path: str
    group: int
    start: int
    stop: int
    first: int

    def __len__(self) -> int:
        return self.stop - self.start


def slices(data: PackedDataset, split: str) -> list[Slice]:
    """All rows of a split in packed order, at most an eighth of a row group each, or 32 rows."""
    import pyarrow.parquet as pq

    found: list[Slice] = []
    first = 0
    for shard in data.split(split).shards:
        path = data.root / shard.path
        about = pq.ParquetFile(path).metadata
        for group in range(about.num_row_groups):
            rows = about.row_group(group).num_rows
            length = max(_FEWEST, -(-rows // _PARTS))
            for start in range(0, rows, length):
                stop = min(start + length, rows)
                found.append(Slice(str(path), group, start, stop, first))
                first += stop - start
    return found


def read_slice(part: Slice, column: str) -> list[bytes]:
    """The values of a binary column in the rows of `part`."""
    rows = _group(part.path, part.group, column).slice(part.start, len(part))
    return cast("list[bytes]", rows.to_pylist())


@lru_cache(2)
def _group(path: str, group: int, column: str) -> pa.ChunkedArray:
    import pyarrow.parquet as pq

    return pq.ParquetFile(Path(path), memory_map=True).read_row_group(group, columns=[column]).column(column)
