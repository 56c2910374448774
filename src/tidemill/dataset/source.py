"""What reading a user's data gives: rows on their way into a packed data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from tidemill.domain.dataset import Column, Kind

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[int, int], None]
Note = Callable[[str], None]


class Pictures(NamedTuple):
    """What the pictures of a data set are like: median height and width in pixels, and whether all are grey."""

    height: int
    width: int
    grey: bool


class Source(NamedTuple):
    """Rows that were checked, in batches, each with its split. `pictures` is None for tables and text."""

    kind: Kind
    columns: tuple[Column, ...]
    batches: Iterator[tuple[str, pa.RecordBatch]]
    pictures: Pictures | None
