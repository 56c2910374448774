"""Reading the Parquet files of a bundle, whose content is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import BundleError

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROWS = 1_000_000
"""A sample or a set of golden requests is far smaller; a file that says more is hostile or broken."""

_TYPES = {"list<float>": ("list<element: float>", "list<item: float>")}


def read_columns(path: Path, columns: Mapping[str, str]) -> pa.Table:
    """The table at `path`, which must have exactly `columns` (name -> type), in any order, and at most `MAX_ROWS` rows.

    Raises BundleError for anything else, before a page is decompressed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check(path, file.schema_arrow, file.metadata.num_rows, columns)
            return file.read().select(list(columns))
    except (pa.ArrowException, OSError, ValueError) as error:
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
