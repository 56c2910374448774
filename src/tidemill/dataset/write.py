"""Writing rows into Parquet shards of at most 64 MB, named by split and content; the memory needed is bounded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.dataset.read import RECORD
from tidemill.domain.dataset import SPLITS, Column, DatasetVersion, Kind, Shard, Split, Task
from tidemill.domain.digest import Digest
from tidemill.domain.record import to_plain

if TYPE_CHECKING:
    import pyarrow as pa

SHARD_BYTES = 64_000_000
_GROUP_BYTES = 8_000_000


def pack(
    root: Path,
    rows: Iterable[tuple[str, pa.RecordBatch]],
    *,
    name: str,
    version: str,
    task: Task,
    kind: Kind,
    columns: tuple[Column, ...],
) -> DatasetVersion:
    """Write `rows`, each batch with the split it belongs to, as a packed data set into the folder `root`.

    Every batch has `columns`, in order and with their types. Returns the record, which is also written.
    """
    from tidemill.dataset.digest import RowHashes

    writers: dict[str, SplitWriter] = {}
    hashes = RowHashes(task, kind, columns)
    for split, batch in rows:
        if batch.num_rows:
            writers.setdefault(split, SplitWriter(root, split, columns, kind)).write(batch)
            hashes.add(split, batch)
    splits = []
    for split in SPLITS:
        if split in writers:
            shards = tuple(writers[split].finish())
            classes = dict(sorted(writers[split].classes.items()))
            splits.append(Split(split, sum(shard.rows for shard in shards), classes, shards))
    return write_record(root, DatasetVersion(name, version, task, kind, hashes.digest(), columns, tuple(splits)))


def write_record(root: Path, version: DatasetVersion) -> DatasetVersion:
    """Write `version` into its packed folder, and return it."""
    (root / RECORD).write_bytes(record_bytes(version))
    return version


def record_bytes(version: DatasetVersion) -> bytes:
    """The record as it stands in dataset.json and in git: indented, so that its diffs can be read."""
    return (json.dumps(to_plain(version), indent=1, ensure_ascii=False) + "\n").encode()


class SplitWriter:
    """Writes shards of one split, one after the other; `classes` counts the labels of what was written."""

    def __init__(self, root: Path, split: str, columns: tuple[Column, ...], kind: Kind) -> None:
        self._root, self._split, self._kind = root, split, kind
        self._target = next(column.name for column in columns if column.role == "target")
        self._content = [column.name for column in columns if column.type == "binary"]
        self.classes: Counter[str] = Counter()
        self._shards: list[Shard] = []
        self._rows = 0
        self._writer: pa.parquet.ParquetWriter | None = None
        self._path = root / "shards" / f".{split}.tmp"
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Take `batch` in."""
        self.classes += label_counts(batch.column(self._target), self._kind)
        self._waiting.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= _GROUP_BYTES:
            self._flush()

    def finish(self) -> list[Shard]:
        """Close the last shard; all that were written since the last `finish`."""
        self._flush()
        self._close()
        shards, self._shards = self._shards, []
        return shards

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._waiting:
            return
        batch = pa.concat_batches(self._waiting)
        self._waiting, self._bytes = [], 0
        for group in _groups(batch):
            if self._writer is not None and self._file.tell() + group.nbytes > SHARD_BYTES:
                self._close()
            if self._writer is None:
                self._open(batch.schema)
            assert self._writer is not None
            self._writer.write_batch(group)
            self._rows += group.num_rows

    def _open(self, schema: pa.Schema) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = pa.OSFile(str(self._path), "wb")
        plain = [field.name for field in schema if field.name not in self._content]
        compression = dict.fromkeys(plain, "zstd") | dict.fromkeys(self._content, "none")  # pictures are compressed
        self._writer = pq.ParquetWriter(
            self._file, schema, compression=compression, use_dictionary=plain, write_statistics=plain
        )

    def _close(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._file.close()
        self._writer = None
        digest = Digest.of_file(self._path)
        final = self._path.with_name(f"{self._split}-{digest.hex[:16]}.parquet")
        size = self._path.stat().st_size
        self._path.rename(final)
        self._shards.append(Shard(str(final.relative_to(self._root)), digest, self._rows, size))
        self._rows = 0


def label_counts(labels: pa.Array | pa.ChunkedArray, kind: Kind) -> Counter[str]:
    """The rows of each class; nothing for regression."""
    if kind != "classification":
        return Counter()
    return Counter({entry["values"]: entry["counts"] for entry in labels.value_counts().to_pylist()})


def _groups(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """`batch` in slices of about 8 MB."""
    rows = max(1, int(batch.num_rows * _GROUP_BYTES / max(batch.nbytes, _GROUP_BYTES)))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)
