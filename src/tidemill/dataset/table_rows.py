"""The rows of tables on their way into a packed data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.dataset.digest import row_hashes
from tidemill.dataset.draws import part
from tidemill.dataset.hashes import Hashes

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Batches = Callable[[], Iterator["pa.RecordBatch"]]


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows that `batches` reads, all of them and in the same order whenever it is called."""

    batches: Batches
    hashes: Hashes
    splits: NDArray[np.uint8]

    def read(self, wanted: NDArray[np.bool_] | None = None) -> Iterator[tuple[str, pa.RecordBatch]]:
        """As `source.Rows.read`."""
        return part(self.batches(), self.splits, wanted)


def hash_batches(batches: Batches, columns: list[str], scratch: Path | None) -> Hashes:
    """The hashes of all rows over `columns`."""
    hashes = Hashes(scratch)
    for batch in batches():
        hashes.add(row_hashes(batch, columns))
    return hashes


def cast_columns(batch: pa.RecordBatch, casts: dict[str, tuple[pa.DataType, ...]]) -> pa.RecordBatch:
    """The batch with some columns cast, one type after the other."""
    import pyarrow as pa

    columns = []
    for name in batch.schema.names:
        column = batch.column(name)
        for kind in casts.get(name, ()):
            column = column.cast(kind)
        columns.append(column)
    return pa.record_batch(columns, names=batch.schema.names)
