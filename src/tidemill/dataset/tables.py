"""Table files as streams of Arrow batches: Parquet, CSV and TSV; one file, or one for each split."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.cells import BadCells, CellChecks, emptied
from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.lines import Lines
from tidemill.dataset.reading import Steps
from tidemill.dataset.splits import split_named
from tidemill.dataset.unreadable import encoding, readable
from tidemill.domain.digest import Digest
from tidemill.errors import DataError, nearest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

SUFFIXES = (".parquet", ".csv", ".tsv")
LAYOUT = "expected a .parquet, .csv or .tsv file, or a folder with train, val and test tables"
_ROWS = 65_536
NO_STEPS = Steps()
_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is read as often as needed, a batch at a time; its columns are of plain types. `bad` are its rows,
    from 0, that hold a cell which cannot be used and is read as missing; int64 [N]."""

    where: str
    schema: pa.Schema
    rows: int
    read: Callable[[], Iterator[pa.RecordBatch]]
    bad: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def read_tables(
    path: Path, inspection: Inspection, *, header: bool = True, text: frozenset[str] = frozenset(),
    steps: Steps = NO_STEPS,
) -> dict[str | None, Table]:  # fmt: skip
    """The table of each split; the key is None when a single table came without one.

    `header` says whether the first line of CSV and TSV files names the columns (else they are c1, c2, …); `text` names
    columns that are read as text even if they look like numbers; `steps` come before anything else is said about the
    columns. `inspection` hears of cells that cannot be used. Raises DataError naming the file.
    """
    from tidemill.dataset.derive import prepared

    files = split_files(path) if path.is_dir() else {None: [path]}
    bad = BadCells()
    tables = {
        split: joined([prepared(read_table(file, bad, header=header, text=text), steps) for file in several])
        for split, several in files.items()
    }
    bad.report(inspection)
    return tables


def bad_rows(tables: Collection[Table]) -> NDArray[np.int64]:
    """The rows with bad cells, as numbered from 0 through all tables, int64 [N]."""
    starts = np.cumsum([0, *(table.rows for table in tables)])
    return np.concatenate([table.bad + start for table, start in zip(tables, starts, strict=False)])


def joined(tables: Sequence[Table]) -> Table:
    """Several tables as one, with the columns of the first. Raises DataError when they have others."""
    first = tables[0]
    if len(tables) == 1:
        return first
    for table in tables[1:]:
        if set(table.schema.names) != set(first.schema.names):
            raise DataError(f"{table.where} has other columns than {first.where}", "give all the same columns")

    def read() -> Iterator[pa.RecordBatch]:
        for table in tables:
            for batch in table.read():
                yield batch.select(first.schema.names).cast(first.schema)

    bad = bad_rows(tables)
    return Table(first.where, first.schema, sum(table.rows for table in tables), read, bad)


def read_table(file: Path, bad: BadCells, *, header: bool = True, text: frozenset[str] = frozenset()) -> Table:
    """One table, all of it checked: every cell reads as its column's type, and `bad` gets those that do not."""
    import pyarrow as pa

    if not file.is_file():
        raise DataError(f"{file} does not exist" if not file.exists() else f"{file} is no file", LAYOUT)
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{file} is no table that can be read", LAYOUT)
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty", "give it a line of column names, and rows")
    named = header and suffix != ".parquet"
    with readable(file, header=named):
        schema, batches = _parquet(file) if suffix == ".parquet" else Lines.open(file, header, text).typed()
        _check_names(file, schema, header)
        for name in text.difference(schema.names):
            raise DataError(f"{file} has no column {name!r}", nearest(name, schema.names, kind="columns"))
        plain = plain_schema(file, schema)
        checks = CellChecks(text if suffix != ".parquet" else None)

        def read() -> Iterator[pa.RecordBatch]:
            with readable(file, header=named):
                for batch in batches():
                    yield batch.cast(plain) if batch.schema != plain else batch

        rows = 0
        for batch in read():
            checks.look(batch)
            rows += batch.num_rows
    if not rows:
        raise DataError(f"{file} has no rows", "give it rows below the line of column names")
    columns = checks.columns()
    if not columns:
        return Table(str(file), plain, rows, read)
    fixed = pa.schema([pa.field(each.name, columns.get(each.name, each.type)) for each in plain])
    found = bad.gather(file, read(), columns)
    return Table(str(file), fixed, rows, lambda: (emptied(batch, columns)[0] for batch in read()), found)


def split_files(folder: Path) -> dict[str | None, list[Path]]:
    """The table files of each split in `folder`: by name, by a split in the name (`set_train.csv`), in parts
    (`train-00000-of-00002.parquet`), or in a folder. Raises DataError when the names do not say."""
    root = folder.resolve()
    files: dict[str | None, list[Path]] = {}
    found = [file for file in sorted(root.iterdir()) if file.suffix.lower() in SUFFIXES and file.name[0] != "."]
    found += _inside_folders(root)
    if not found:
        raise DataError(f"{folder} holds no table", LAYOUT)
    for file in found:
        if not file.resolve().is_relative_to(root):
            raise DataError(f"{file} is a link that leaves the folder", "put the file itself there")
        split = split_named(file.parent.name) if file.parent != root else _split_of(file.stem)
        if len(found) == 1 and split is None:
            return {None: [file]}
        if split is None:
            raise DataError(f"{file}: its name says no split", "name the tables train, val and test, or give one file")
        if split in files and not (file.parent != root or _PART.search(file.stem)):
            raise DataError(f"{files[split][0]} and {file} are both the {split} split", "merge them")
        files.setdefault(split, []).append(file)
    if "train" not in files:
        raise DataError(f"{folder} has no train table, only {', '.join(str(split) for split in files)}", LAYOUT)
    _refuse_copies(files)
    return files


_PART = re.compile(r"-\d{5}-of-\d{5}$")


def _inside_folders(root: Path) -> list[Path]:
    inside = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and split_named(entry.name)]
    return [file for entry in inside for file in sorted(entry.iterdir()) if file.suffix.lower() in SUFFIXES]


def _split_of(stem: str) -> str | None:
    """The split that a word of a file's name says, if one does."""
    words = {split for word in re.split(r"[-_. ]", _PART.sub("", stem)) if (split := split_named(word))}
    return words.pop() if len(words) == 1 else None


def _refuse_copies(files: Mapping[str | None, Sequence[Path]]) -> None:
    seen: dict[Digest, Path] = {}
    for file in (file for several in files.values() for file in several):
        first = seen.setdefault(Digest.of_file(file), file)
        if first is not file:
            raise DataError(f"two splits share a file: {first} and {file} are the same", "give each split its own rows")


def _parquet(file: Path) -> tuple[pa.Schema, Callable[[], Iterator[pa.RecordBatch]]]:
    import pyarrow.parquet as pq

    def batches() -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False) as opened:
            yield from opened.iter_batches(batch_size=_ROWS, use_threads=False)

    with pq.ParquetFile(file) as opened:
        return opened.schema_arrow, batches


def plain_schema(file: Path, schema: pa.Schema) -> pa.Schema:
    """The schema without dictionaries, views and 64-bit offsets, which are packing and no content."""
    import pyarrow as pa

    return pa.schema([pa.field(field.name, _plain(file, field.name, field.type)) for field in schema])


def _plain(file: Path, name: str, kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(kind):
        return _plain(file, name, kind.value_type)
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_decimal(kind) or types.is_float16(kind):
        return pa.float64()
    if types.is_binary(kind) and file.suffix.lower() != ".parquet":
        raise encoding(file, f"column {name!r}")
    simple = (types.is_integer, types.is_floating, types.is_boolean, types.is_string, types.is_temporal, types.is_null)
    if not any(test(kind) for test in simple) or types.is_interval(kind):
        raise DataError(f"{file}: column {name!r} holds {kind}, which a table here cannot hold", "drop that column")
    return kind


def _check_names(file: Path, schema: pa.Schema, header: bool) -> None:
    names = schema.names
    if len(set(names)) < len(names) or any(not name.strip() for name in names):
        bad = next((name for name in names if names.count(name) > 1), "")
        what = f"two columns called {bad!r}" if bad else "a column without a name"
        hint = "give every column a name of its own" + (
            "; or, if its first line holds no names: --no-header" if header and file.suffix != ".parquet" else ""
        )
        raise DataError(f"{file} has {what}", hint)
