"""Opening a packed data set and reading its splits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, cast, overload

from tidemill.domain.dataset import SPLITS, DatasetVersion, Shard, Split
from tidemill.domain.digest import Digest
from tidemill.domain.record import from_plain
from tidemill.errors import DataError, NotFoundError, nearest
from tidemill.process import usable_cores

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

RECORD = "dataset.json"
FORMAT = 1


class Examples(NamedTuple):
    """One split as a client would send it.

    `inputs` are raw: a picture file's bytes, a sentence, or a row of the feature columns by name. `labels` are the
    classes, always strings; empty for regression. `values` is float64 [N] for regression, otherwise None.
    """

    names: tuple[str, ...]
    inputs: Sequence[bytes] | Sequence[str] | Sequence[Mapping[str, Any]]
    labels: tuple[str, ...]
    values: NDArray[np.float64] | None


class Rows(Sequence[Mapping[str, Any]]):
    """The rows of a table as mappings, made when asked for; a slice is again rows."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Rows:
        chosen = range(len(self))[index]
        if isinstance(chosen, int):
            return cast("Mapping[str, Any]", self._table.slice(chosen, 1).to_pylist()[0])
        return Rows(self._table.take(list(chosen)))

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for batch in self._table.to_batches(max_chunksize=4096):
            yield from batch.to_pylist()


@dataclass(frozen=True, slots=True)
class PackedDataset:
    """A packed data set at `root`, as its record `version` describes it.

    `cache` is where what is derived from it may be kept; None where nothing may.
    """

    version: DatasetVersion
    root: Path
    cache: Path | None = None

    def split(self, name: str) -> Split:
        """Raises NotFoundError for a split it does not have."""
        try:
            return self.version.split(name)
        except KeyError:
            known = [split.name for split in self.version.splits]
            raise NotFoundError(
                f"{self.version.tag} has no split {name!r}", nearest(name, known, kind="its splits")
            ) from None

    def table(self, split: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of a split, in packed order, with `columns` (all of them when None)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        wanted = None if columns is None else list(columns)
        shards = [self.root / shard.path for shard in self.split(split).shards]
        tables = [pq.ParquetFile(shard).read(columns=wanted) for shard in shards]
        table = pa.concat_tables(tables)
        return table if wanted is None else table.select(wanted)

    def batches(self, split: str, columns: Sequence[str] | None = None, rows: int = 4096) -> Iterator[pa.RecordBatch]:
        """The rows of a split in packed order, at most `rows` at a time: the memory needed does not grow with it."""
        import pyarrow.parquet as pq

        wanted = None if columns is None else list(columns)
        for shard in self.split(split).shards:
            yield from pq.ParquetFile(self.root / shard.path).iter_batches(batch_size=rows, columns=wanted)

    def examples(self, split: str, chosen: NDArray[np.int64] | None = None) -> Examples:
        """Rows of a split as raw requests with their labels: all, or those `chosen` by their numbers, which rise."""
        table = self.table(split) if chosen is None else self._rows(split, chosen)
        target = table.column(self.version.column("target").name)
        regression = self.version.kind == "regression"
        return Examples(
            self._names(split, table, chosen),
            self._inputs(table),
            () if regression else tuple(target.to_pylist()),
            target.to_numpy().astype("float64", copy=False) if regression else None,
        )

    def _rows(self, split: str, chosen: NDArray[np.int64]) -> pa.Table:
        """The memory it takes does not grow with the rows that are not chosen."""
        import pyarrow as pa

        parts, start = [], 0
        for batch in self.batches(split, rows=1024):
            inside = chosen[(chosen >= start) & (chosen < start + batch.num_rows)]
            parts.append(batch.take(pa.array(inside - start)))
            start += batch.num_rows
        return pa.Table.from_batches(parts)

    def _names(self, split: str, table: pa.Table, chosen: NDArray[np.int64] | None) -> tuple[str, ...]:
        paths = [column.name for column in self.version.columns if column.role == "path"]
        if paths:
            return tuple(table.column(paths[0]).to_pylist())
        rows = range(table.num_rows) if chosen is None else chosen.tolist()
        return tuple(f"{split}/{row}" for row in rows)

    def _inputs(self, table: pa.Table) -> Sequence[bytes] | Sequence[str] | Rows:
        if self.version.task == "tabular":
            return Rows(table.select([column.name for column in self.version.features]))
        content = table.column(self.version.column(self.version.task).name).to_pylist()
        return cast("list[bytes] | list[str]", content)


def open_dataset(root: Path, *, verify: bool = False) -> PackedDataset:
    """The packed data set at `root`.

    Its record and the sizes of its shards are always checked; with `verify` also the digest of every shard.
    Raises DataError when the folder is not what its record says.
    """
    version = read_record(root / RECORD)
    for split in version.splits:
        if split.name not in SPLITS:
            raise DataError(f"{root / RECORD} names a split {split.name!r}", f"splits are {', '.join(SPLITS)}")
    shards = [shard for split in version.splits for shard in split.shards]
    if not verify:
        for shard in shards:
            check_shard(root, shard)
    else:
        with ThreadPoolExecutor(usable_cores()) as pool:  # hashing lets go of the interpreter
            list(pool.map(lambda shard: check_shard(root, shard, verify=True), shards))
    return PackedDataset(version, root)


def check_shard(root: Path, shard: Shard, *, verify: bool = False) -> None:
    """Raises DataError unless `shard` is in `root` in its size; with `verify` also unless it has its digest."""
    path = root / _inside(shard.path, root)
    if path.is_symlink() or not path.is_file() or path.stat().st_size != shard.bytes:
        raise DataError(f"{path} is missing or incomplete", "get it again:  tidemill data pull")
    if verify and Digest.of_file(path) != shard.digest:
        raise DataError(f"{path} was altered: its digest is not the recorded one", _RESTORE)


_RESTORE = "restore it:  dvc checkout --force"


def read_record(path: Path) -> DatasetVersion:
    """The DatasetVersion in a file. Raises DataError for anything else."""
    try:
        content = path.read_bytes()
    except OSError:
        raise DataError(f"{path.parent} holds no packed data set ({path.name} cannot be read)", _RESTORE) from None
    return parse_record(content, str(path))


def parse_record(content: bytes, where: str) -> DatasetVersion:
    """The DatasetVersion in `content`; `where` names it in the DataError raised for anything else."""
    try:
        version = from_plain(DatasetVersion, json.loads(content))
    except ValueError as error:
        raise DataError(f"{where} is not the record of a data set: {error}", _RESTORE) from None
    if version.format > FORMAT:
        raise DataError(f"{where} was written by a newer Tidemill (format {version.format})", "upgrade tidemill")
    return version


def _inside(path: str, root: Path) -> PurePosixPath:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path:
        raise DataError(f"{root / RECORD} names a file outside its folder: {path}", _RESTORE)
    return pure
