"""Reading the Parquet files of a bundle, whose content is not trusted.

Some hundred bytes can stand for gigabytes: a text is stored once and repeated by number, a run of nulls is a number.
So texts are read as they are stored, and counted before they are repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import BundleError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_ROWS = 1_000_000
"""A sample or a set of golden requests is far smaller; a file that says more is hostile or broken."""

MAX_BYTES = 1 << 30
"""Of a column, and of what all pages unpack to. Golden requests and a sample are far smaller, too."""

_TYPES = {"list<float>": ("list<element: float>", "list<item: float>")}
_TEXTS = frozenset({"binary", "string"})


def read_columns(path: Path, columns: Mapping[str, str]) -> pa.Table:
    """The table at `path`, which must have exactly `columns` (name -> type), in any order, and at most `MAX_ROWS` rows.

    Raises BundleError for anything else, before a page is decompressed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [name for name, kind in columns.items() if kind in _TEXTS]
    try:
        with pq.ParquetFile(path) as file:
            _check(path, file.schema_arrow, file.metadata.num_rows, columns)
            _check_sizes(path, file.metadata)
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            table = file.read().select(list(columns))
        for name in texts:
            table = table.set_column(table.schema.get_field_index(name), name, _plain(path, table[name]))
        table.validate(full=True)  # text that is no UTF-8, offsets that lead elsewhere
        return table
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise BundleError(f"{path} cannot be read: {str(error)[:200]}", "fetch the bundle anew") from None


def _check(path: Path, schema: pa.Schema, rows: int, columns: Mapping[str, str]) -> None:
    if rows > MAX_ROWS:
        raise BundleError(f"{path} has {rows:,} rows, more than {MAX_ROWS:,}", "export the model again")
    found = {field.name: str(field.type) for field in schema}
    for name, kind in columns.items():
        if found.get(name) not in (kind, *_TYPES.get(kind, ())):
            raise BundleError(f"{path} lacks the column {name} of type {kind}", "export the model again")
    for name in schema.names:
        if name not in columns or schema.names.count(name) > 1:
            raise BundleError(f"{path} has a column {name[:60]!r} that does not belong there", "export the model again")


def _check_sizes(path: Path, metadata: pq.FileMetaData) -> None:
    """What the file says of itself; pages that say otherwise are why a new bundle is tried in another process."""
    values = size = 0
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            values = max(values, column.num_values)
            size += column.total_uncompressed_size
    if size > MAX_BYTES or values > MAX_BYTES // 4:
        raise _too_large(path)


def _plain(path: Path, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts by number as texts. Raises BundleError where they would be too large."""
    import pyarrow as pa
    import pyarrow.compute as pc

    size, kind = 0, column.type.value_type
    for chunk in column.chunks:
        chunk.validate(full=True)
        size += pc.sum(pc.cast(pc.take(pc.binary_length(chunk.dictionary), chunk.indices), pa.int64())).as_py() or 0
        if size > MAX_BYTES:
            raise _too_large(path)
    return pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], kind)


def _too_large(path: Path) -> BundleError:
    return BundleError(f"{path} would unpack to more than {MAX_BYTES >> 20:,} MB", "export the model again")
