"""The formats of answers: CSV, TSV, Parquet and JSON lines, each written a table at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tidemill.errors import InputError, NotFoundError

if TYPE_CHECKING:
    import pyarrow as pa

    Write = Callable[[pa.Table], None]

FORMATS = (".csv", ".tsv", ".parquet", ".jsonl")


def check_out(out: Path) -> None:
    """Raises InputError for a file whose suffix says nothing, or that is a folder."""
    if out.suffix.lower() not in FORMATS:
        raise InputError(f"--out {out}: the suffix {out.suffix!r} is unknown", f"known are {', '.join(FORMATS)}")
    if out.is_dir():
        raise InputError(f"--out {out} is a folder", "name a file in it")
    if not out.absolute().parent.is_dir():
        raise NotFoundError(f"--out {out}: there is no folder {out.parent}", "make it, or write somewhere else")


def check_schema(schema: pa.Schema, out: Path) -> None:
    """Raises InputError for columns that the format of `out` cannot hold: lists in CSV, say."""
    import pyarrow as pa

    for field in schema:
        try:
            with table_writer(out, io.BytesIO(), pa.schema([field])) as write:
                write(pa.table([pa.nulls(1, field.type)], pa.schema([field])))
        except (pa.ArrowException, TypeError):
            kind = out.suffix[1:].upper()
            raise InputError(f"{kind} cannot hold the column {field.name!r} ({field.type})", "write Parquet") from None


@contextmanager
def table_writer(out: Path, file: BinaryIO, schema: pa.Schema) -> Iterator[Write]:
    """What writes tables of `schema`, one after the other, to `file` in the format that the suffix of `out` names."""
    import pyarrow.parquet as pq
    from pyarrow import csv

    match out.suffix.lower():
        case ".parquet":
            with pq.ParquetWriter(file, schema, compression="zstd") as parquet:
                yield parquet.write_table
        case ".jsonl":
            yield lambda table: _write_lines(file, table)
        case suffix:
            delimiter = "\t" if suffix == ".tsv" else ","
            options = csv.WriteOptions(delimiter=delimiter, quoting_style="needed")
            with csv.CSVWriter(file, schema, write_options=options) as separated:
                yield separated.write_table


def _write_lines(file: BinaryIO, table: pa.Table) -> None:
    import orjson

    for batch in table.to_batches(max_chunksize=8192):
        file.write(b"".join(orjson.dumps(row, default=str) + b"\n" for row in batch.to_pylist()))
