"""What reading a user's data gives: rows that were checked, on their way into a packed data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tidemill.dataset.hashes import Hashes
from tidemill.domain.dataset import Column, Kind

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Progress = Callable[[int, int], None]
Note = Callable[[str], None]

LEFT_OUT = 255
"""In `Rows.splits`: this row belongs to no split, it is not packed."""


class Pictures(NamedTuple):
    """What the pictures of a data set are like: median height and width in pixels, and whether all are grey."""

    height: int
    width: int
    grey: bool


class Rows(Protocol):
    """Rows in a fixed order, which can be read again and again, all or some."""

    @property
    def hashes(self) -> Hashes:
        """Each row's hash over the columns that are content, as `digest.row_hashes` gives it."""

    @property
    def splits(self) -> NDArray[np.uint8]:
        """Each row's place in SPLITS, or LEFT_OUT."""

    def read(self, wanted: NDArray[np.bool_] | None = None) -> Iterator[tuple[str, pa.RecordBatch]]:
        """The rows of some split, in order (of each split) and in batches, each with its split; of them those that
        are `wanted`, bool [N]."""


class Source(NamedTuple):
    """Data that was checked. `pictures` is None for tables and text."""

    kind: Kind
    columns: tuple[Column, ...]
    rows: Rows
    pictures: Pictures | None

    @property
    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """All rows, in batches, each with its split."""
        return self.rows.read()
