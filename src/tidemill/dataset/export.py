"""Writing a data version out again, as something that can be edited and added."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tidemill.dataset.read import PackedDataset
from tidemill.domain.dataset import SPLITS
from tidemill.errors import DataError


def export(data: PackedDataset, into: Path, *, by_split: bool = False) -> int:
    """Write the rows into the folder `into`; the number of files.

    Pictures get their bytes and their paths back, and added again they are drawn into the same splits; `by_split`
    moves those whose split was drawn into a folder of that split. Tables become one Parquet file for each split,
    without the row numbers.
    """
    return _pictures(data, into, by_split) if data.version.task == "image" else _tables(data, into)


def _pictures(data: PackedDataset, into: Path, by_split: bool) -> int:
    count = 0
    for split in data.version.splits:
        for batch in data.batches(split.name, ["name", "data"], rows=256):
            for name, content in zip(batch.column("name").to_pylist(), batch.column("data"), strict=True):
                file = into / _place(name, split.name if by_split else None)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.as_py())
                count += 1
    return count


def _place(name: str, split: str | None) -> PurePosixPath:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        raise DataError(
            f"a picture is called {name!r}, which leaves the folder", "this data set was altered; do not use it"
        )
    from tidemill.dataset.splits import split_named

    return pure if split is None or split_named(pure.parts[0]) == split else PurePosixPath(split) / pure


def _tables(data: PackedDataset, into: Path) -> int:
    import pyarrow.parquet as pq

    columns = [column.name for column in data.version.columns if column.role != "path"]
    splits = [split.name for split in data.version.splits if split.name in SPLITS]
    for split in splits:
        pq.write_table(data.table(split, columns), into / f"{split}.parquet")
    return len(splits)
