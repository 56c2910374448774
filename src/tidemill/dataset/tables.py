"""Table files as Arrow tables: Parquet, CSV and TSV; one file, or one for each split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.dataset.splits import split_named
from tidemill.domain.digest import Digest
from tidemill.errors import DataError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".csv", ".tsv")
_LAYOUT = "expected a .parquet, .csv or .tsv file, or a folder with train, val and test tables"


def read_tables(path: Path, *, header: bool = True, text: frozenset[str] = frozenset()) -> dict[str | None, pa.Table]:
    """The table of each split; the key is None when a single table came without one.

    `header` says whether the first line of CSV and TSV files names the columns (else they are c1, c2, …); `text` names
    columns that are read as text even if they look like numbers. Raises DataError naming the file.
    """
    if path.is_dir():
        return _read_folder(path, header, text)
    return {None: read_table(path, header=header, text=text)}


def read_table(file: Path, *, header: bool = True, text: frozenset[str] = frozenset()) -> pa.Table:
    """One table, its columns in plain types (no dictionaries, no large strings)."""
    import pyarrow as pa

    if not file.is_file():
        raise DataError(f"{file} does not exist" if not file.exists() else f"{file} is no file", _LAYOUT)
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{file} is no table that can be read", _LAYOUT)
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty", "give it a line of column names, and rows")
    try:
        table = _read_parquet(file) if suffix == ".parquet" else _read_lines(file, suffix, header, text)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError) as error:
        raise _unreadable(file, str(error)) from None
    except UnicodeDecodeError:
        raise _encoding(file, "the column names") from None
    except OSError as error:
        if error.errno:
            raise
        raise _unreadable(file, str(error)) from None
    _check_shape(file, table, header)
    for name in text.difference(table.column_names):
        raise DataError(f"{file} has no column {name!r}", nearest(name, table.column_names, kind="columns"))
    for name in table.column_names:
        _refuse_nan(file, name, table.column(name))
        if suffix != ".parquet" and name not in text:
            _refuse_text_among_numbers(file, name, table.column(name))
    return table


def _read_folder(folder: Path, header: bool, text: frozenset[str]) -> dict[str | None, pa.Table]:
    root = folder.resolve()
    files: dict[str | None, Path] = {}
    found = [file for file in sorted(root.iterdir()) if file.suffix.lower() in SUFFIXES and file.name[0] != "."]
    if not found:
        raise DataError(f"{folder} holds no table", _LAYOUT)
    for file in found:
        if not file.resolve().is_relative_to(root):
            raise DataError(f"{file} is a link that leaves the folder", "put the file itself there")
        split = split_named(file.stem)
        if len(found) == 1 and split is None:
            return {None: read_table(file, header=header, text=text)}
        if split is None:
            raise DataError(f"{file}: its name says no split", "name the tables train, val and test, or give one file")
        if split in files:
            raise DataError(f"{files[split]} and {file} are both the {split} split", "merge them")
        files[split] = file
    if "train" not in files:
        raise DataError(f"{folder} has no train table, only {', '.join(str(split) for split in files)}", _LAYOUT)
    _refuse_copies(files)
    return {split: read_table(file, header=header, text=text) for split, file in files.items()}


def _refuse_copies(files: Mapping[str | None, Path]) -> None:
    seen: dict[Digest, Path] = {}
    for file in files.values():
        first = seen.setdefault(Digest.of_file(file), file)
        if first is not file:
            raise DataError(f"two splits share a file: {first} and {file} are the same", "give each split its own rows")


def _read_parquet(file: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return _plain(file, pq.ParquetFile(file).read())


def _read_lines(file: Path, suffix: str, header: bool, text: frozenset[str]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    delimiter = "\t" if suffix == ".tsv" else _separator(file)
    names, quoting = _first_look(file, delimiter, header)
    parse = csv.ParseOptions(delimiter=delimiter, quote_char='"' if quoting else False, newlines_in_values=quoting)
    read = csv.ReadOptions(column_names=names, autogenerate_column_names=False)
    convert = csv.ConvertOptions(column_types=dict.fromkeys(text, pa.string()), null_values=_MISSING)
    try:
        table = csv.read_csv(file, read_options=read, parse_options=parse, convert_options=convert)
    except pa.ArrowInvalid:
        read.use_threads = False  # the same error again, this time with the number of the line
        table = csv.read_csv(file, read_options=read, parse_options=parse, convert_options=convert)
    return _plain(file, table)


_MISSING = ["", "NA", "N/A", "n/a", "#N/A", "null", "NULL", "None", "<NA>"]
"""Cells that mean 'no value'. 'NaN' is not among them: it comes from a calculation that failed, and is refused."""


def _separator(file: Path) -> str:
    """The comma; or the semicolon, which spreadsheets write where the comma is the decimal mark."""
    with file.open("rb") as handle:
        first = handle.readline(1_000_000)
    return ";" if b";" in first and b"," not in first else ","


def _first_look(file: Path, delimiter: str, header: bool) -> tuple[list[str] | None, bool]:
    """Names for the columns of a file without a header, and whether quotes quote (in a TSV they may be letters)."""
    with file.open("rb") as handle:
        head = handle.read(1_000_000)
    for mark in (b"\xff\xfe", b"\xfe\xff"):
        if head.startswith(mark):
            raise _encoding(file, "it is UTF-16", charset="UTF-16")
    if b"\0" in head:
        raise DataError(f"{file} holds zero bytes: it is no text file", _LAYOUT)
    lines = head.splitlines()
    odd = any(line.count(b'"') % 2 for line in lines)
    quoting = delimiter != "\t" or not odd
    if header:
        return None, quoting
    first = lines[0].decode(errors="replace") if lines else ""
    return [f"c{i + 1}" for i in range(first.count(delimiter) + 1)], quoting


def _refuse_text_among_numbers(file: Path, name: str, column: pa.ChunkedArray) -> None:
    """A column of which half or more are numbers is a number column. Raises DataError at its first other cell."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        return
    filled = pc.not_equal(pc.utf8_trim_whitespace(column), "")
    numbers = pc.match_substring_regex(column, _NUMBER)
    bad = pc.and_(filled, pc.invert(numbers))
    if pc.sum(numbers).as_py() * 2 < max(1, pc.sum(filled).as_py()) or not pc.any(bad).as_py():
        return
    row = pc.index(bad, True).as_py()
    raise DataError(
        f"{file}: column {name!r} holds numbers, but row {row + 1} holds {column[row].as_py()[:60]!r}",
        f"correct the cell or leave it empty; if the column is meant as text:  --as-text {name}",
    )


_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"


def _refuse_nan(file: Path, name: str, column: pa.ChunkedArray) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(column.type):
        return
    bad = pc.invert(pc.is_finite(column))
    if pc.any(bad).as_py():
        row = pc.index(bad, True).as_py()
        raise DataError(
            f"{file}: column {name!r} holds {str(column[row].as_py()).replace('nan', 'NaN')} in row {row + 1}",
            "correct the cell, or leave it empty if the value is not known",
        )


def _plain(file: Path, table: pa.Table) -> pa.Table:
    """The table without dictionaries, views and 64-bit offsets, which are packing and no content."""
    columns = [_plain_column(file, name, table.column(i)) for i, name in enumerate(table.column_names)]
    import pyarrow as pa

    fields = [pa.field(name, column.type) for name, column in zip(table.column_names, columns, strict=True)]
    return pa.table(columns, schema=pa.schema(fields))


def _plain_column(file: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        return _plain_column(file, name, column.cast(kind.value_type))
    if types.is_large_string(kind) or types.is_string_view(kind):
        return column.cast(pa.string())
    if types.is_decimal(kind) or types.is_float16(kind):
        return column.cast(pa.float64())
    if types.is_binary(kind) and file.suffix.lower() != ".parquet":
        raise _encoding(file, f"column {name!r}")
    simple = (types.is_integer, types.is_floating, types.is_boolean, types.is_string, types.is_temporal, types.is_null)
    if not any(test(kind) for test in simple) or types.is_interval(kind):
        raise DataError(f"{file}: column {name!r} holds {kind}, which a table here cannot hold", "drop that column")
    return column


def _check_shape(file: Path, table: pa.Table, header: bool) -> None:
    names = table.column_names
    if len(set(names)) < len(names) or any(not name.strip() for name in names):
        bad = next((name for name in names if names.count(name) > 1), "")
        what = f"two columns called {bad!r}" if bad else "a column without a name"
        hint = "give every column a name of its own" + (
            "; or, if its first line holds no names: --no-header" if header and file.suffix != ".parquet" else ""
        )
        raise DataError(f"{file} has {what}", hint)
    if not table.num_rows:
        raise DataError(f"{file} has no rows", "give it rows below the line of column names")


def _unreadable(file: Path, detail: str) -> DataError:
    ragged = re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", detail)
    if ragged:
        row, expected, got = ragged.groups()
        where = f"line {row}" if row else "a line"
        return DataError(
            f"{file} is ragged: {where} has {got} cells where {expected} columns are named",
            "quote cells that hold the separator, or complete the line",
        )
    if "UTF8" in detail or "utf8" in detail.lower():
        return _encoding(file, "a cell")
    first = detail.splitlines()[0] if detail else "unknown format"
    return DataError(f"{file} cannot be read: {first[:160]}", "check that the file is whole and is what its name says")


def _encoding(file: Path, what: str, *, charset: str = "LATIN1") -> DataError:
    return DataError(
        f"{file} is not UTF-8 ({what})", f"convert it:  iconv -f {charset} -t UTF-8 {file.name} > utf8-{file.name}"
    )
