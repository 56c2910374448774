"""CSV and TSV files as streams: the type of each column is the first that all of its cells read as."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.dataset.unreadable import encoding
from tidemill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv

_BLOCK = 8 << 20
MISSING = ["", "-", "NA", "N/A", "na", "n/a", "#N/A", "null", "NULL", "None", "<NA>"]
"""Cells that mean 'no value'. 'NaN' is not among them: it comes from a calculation that failed, and is refused."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A file of lines: what parts its cells, whether quotes quote, its columns' names where no line has them, and the
    columns that are text whatever they look like."""

    file: Path
    delimiter: str
    quoting: bool
    names: list[str] | None
    text: frozenset[str]

    @classmethod
    def open(cls, file: Path, header: bool, text: frozenset[str]) -> Lines:
        """Look at the beginning of `file`. Raises DataError when it is no text in UTF-8."""
        delimiter = "\t" if file.suffix.lower() == ".tsv" else _separator(file)
        names, quoting = _first_look(file, delimiter, header)
        return cls(file, delimiter, quoting, names, text)

    def typed(self) -> tuple[pa.Schema, Callable[[], Iterator[pa.RecordBatch]]]:
        """The columns with the types that hold for all rows, and what reads the rows.

        pyarrow types a stream by its first block. Where a later cell does not fit, the column gets the next type in
        pyarrow's own order, and reading begins again: the types are those that the whole file at once would have.
        """
        import pyarrow as pa

        types: dict[str, pa.DataType] = dict.fromkeys(self.text, pa.string())
        schema = self._reader(types).schema
        while True:
            try:
                with self._reader(types) as reader:
                    schema = reader.schema
                    for _ in reader:
                        pass
            except pa.ArrowInvalid as error:
                column = re.search(r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to", str(error))
                if column is None or "UTF8" in str(error):
                    raise
                field = schema.field(int(column[1]))
                types[field.name] = _next_type(types.get(field.name, field.type))
                continue
            return schema, lambda: self._batches(types)

    def _batches(self, types: dict[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        with self._reader(types) as reader:
            yield from reader

    def _reader(self, types: dict[str, pa.DataType]) -> csv.CSVStreamingReader:
        from pyarrow import csv

        quote = '"' if self.quoting else False
        return csv.open_csv(
            self.file,
            csv.ReadOptions(column_names=self.names, use_threads=False, block_size=_BLOCK),
            csv.ParseOptions(delimiter=self.delimiter, quote_char=quote, newlines_in_values=self.quoting),
            csv.ConvertOptions(column_types=types, null_values=MISSING),
        )


def _next_type(kind: pa.DataType) -> pa.DataType:
    """The type that pyarrow tries when a column is not of `kind`."""
    import pyarrow as pa

    order = [
        pa.null(), pa.int64(), pa.bool_(), pa.date32(), pa.time32("s"), pa.timestamp("s"), pa.timestamp("ns"),
        pa.float64(), pa.string(),
    ]  # fmt: skip
    return order[order.index(kind) + 1] if kind in order[:-1] else pa.string()


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
            raise encoding(file, "it is UTF-16", charset="UTF-16")
    if b"\0" in head:
        raise DataError(f"{file} holds zero bytes: it is no text file", "give a text file in UTF-8, or Parquet")
    lines = head.splitlines()
    odd = any(line.count(b'"') % 2 for line in lines)
    quoting = delimiter != "\t" or not odd
    if header:
        return None, quoting
    first = lines[0].decode(errors="replace") if lines else ""
    return [f"c{i + 1}" for i in range(first.count(delimiter) + 1)], quoting
