"""Inputs of a batch prediction as they lie on disk: pictures, lines, tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from tidemill.errors import InputError, NotFoundError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
TABLES = (".csv", ".tsv", ".parquet", ".json", ".jsonl")
_MAX_FILE = 256 << 20
_MAX_LINES = 512 << 20


class Pictures(Sequence["bytes | InputError"]):
    """The contents of files, each read when it is asked for; an InputError in place of one that cannot be read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> bytes | InputError: ...
    @overload
    def __getitem__(self, index: slice) -> Pictures: ...
    def __getitem__(self, index: int | slice) -> bytes | InputError | Pictures:
        if isinstance(index, slice):
            return Pictures(self._paths[index])
        path = self._paths[index]
        try:
            if path.stat().st_size > _MAX_FILE:
                return InputError(f"larger than {_MAX_FILE >> 20} MB")
            return path.read_bytes()
        except OSError as error:
            return InputError(error.strerror or str(error))


def pictures(files: Sequence[Path]) -> list[Path]:
    """The files, and the picture files under the folders, by name. Raises InputError when there is none."""
    found: list[Path] = []
    for path in files:
        if path.is_dir():
            found += sorted(inner for inner in path.rglob("*") if inner.suffix.lower() in _PICTURES and inner.is_file())
        else:
            found.append(path)
    if not found:
        raise InputError(f"there is no picture in {files[0]}", f"looked for {', '.join(sorted(_PICTURES))}")
    return found


def read_lines(path: Path) -> tuple[list[int], list[str]]:
    """The lines of a file that are not blank, with their numbers from 1. Raises InputError."""
    if path.stat().st_size > _MAX_LINES:
        raise InputError(f"{path} is larger than {_MAX_LINES >> 20} MB", "split it")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8", "give lines of text, or a CSV, TSV or Parquet file") from None
    kept = [(number, line.rstrip("\r")) for number, line in enumerate(lines, start=1) if line.strip()]
    if not kept:
        raise InputError(f"{path} has no lines", "give a text a line")
    return [number for number, _ in kept], [line for _, line in kept]


def read_table(path: Path, *, texts: Sequence[str] | None) -> pa.Table:
    """The table in a CSV, TSV or Parquet file. Of a CSV the columns `texts` stay text whatever they look like.

    Raises InputError for a file that is no such table, or has no rows.
    """
    import pyarrow as pa

    suffix = path.suffix.lower()
    if suffix not in TABLES:
        raise InputError(f"{path} is no table", f"give one of {', '.join(TABLES)}")
    try:
        if suffix == ".parquet":
            table = _parquet(path)
        elif suffix in (".json", ".jsonl"):
            table = pa.Table.from_pylist(_objects(path))
        else:
            table = _csv(path, "\t" if suffix == ".tsv" else ",", texts)
    except (pa.ArrowException, ValueError, RecursionError) as error:  # bad UTF-8 and bad JSON are ValueErrors
        first = "".join(each if each.isprintable() else "?" for each in str(error)[:200])
        raise InputError(f"{path} cannot be read as {suffix[1:].upper()}: {first}", "check the file") from None
    if not table.num_rows:
        raise InputError(f"{path} has no rows", "give a table with at least one row")
    if len(set(table.column_names)) != len(table.column_names):
        raise InputError(f"{path} names a column twice", "give each column a name of its own")
    return table


def _objects(path: Path) -> list[dict[str, object]]:
    """The rows of a JSON file (a list, or a request as the server takes it), or of JSON lines. Raises ValueError."""
    text = path.read_text(encoding="utf-8")
    lines = path.suffix.lower() == ".jsonl"
    found = [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
    rows = found.get("inputs") if isinstance(found, dict) else found
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError('expected rows as objects, or {"inputs": [...]}')
    return rows


def _parquet(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).read()


def _csv(path: Path, delimiter: str, texts: Sequence[str] | None) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    kinds = dict.fromkeys(texts or (), pa.string())
    return csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=csv.ConvertOptions(column_types=kinds, strings_can_be_null=texts is not None),
    )


def as_numbers(table: pa.Table, names: Sequence[str]) -> tuple[pa.Table, dict[int, str]]:
    """The columns `names` of a CSV as numbers where text among them had made them text.

    Such text becomes null, and the second value says for each row what stood there.
    """
    import pyarrow as pa

    problems: dict[int, str] = {}
    for position, name in enumerate(table.column_names):
        if name not in names or table.column(name).type != pa.string():
            continue
        values = [_number(value) for value in table.column(name).to_pylist()]
        for row, value in enumerate(values):
            if isinstance(value, str):
                problems.setdefault(row, f"column {name!r}: {value[:40]!r} is not a number")
        numbers = [None if isinstance(value, str) else value for value in values]
        table = table.set_column(position, name, pa.array(numbers, pa.float64()))
    return table, problems


def _number(value: str | None) -> float | str | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return value


def text_column(table: pa.Table, column: str | None) -> str:
    """The column with the texts: the given one, or the only one that holds text. Raises InputError, NotFoundError."""
    import pyarrow.types as kinds

    if column is not None:
        if column not in table.column_names:
            raise NotFoundError(f"there is no column {column!r}", nearest(column, table.column_names, kind="columns"))
        return column
    texts: list[str] = [f.name for f in table.schema if kinds.is_string(f.type) or kinds.is_large_string(f.type)]
    if len(texts) == 1:
        return texts[0]
    listed = ", ".join(texts or table.column_names)
    raise InputError(f"it is not clear which column holds the text: {listed}", "name it with --column")
