"""Reading the Parquet files of a bundle, whose content is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import BundleError

if TYPE_CHECKING:
    import pyarrow as pa

_TYPES = {"list<float>": ("list<element: float>", "list<item: float>")}


def read_columns(path: Path, columns: Mapping[str, str]) -> pa.Table:
    """The table at `path`, which must have exactly `columns` (name -> type). Raises BundleError for anything else."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read: {str(error)[:200]}", "fetch the bundle anew") from None
    found = {field.name: str(field.type) for field in table.schema}
    for name, kind in columns.items():
        if found.get(name) not in (kind, *_TYPES.get(kind, ())):
            raise BundleError(f"{path} lacks the column {name} of type {kind}", "export the model again")
    return table.select(list(columns))
