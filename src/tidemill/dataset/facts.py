"""What is known of a column after all its cells passed by, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_LIMIT = 50_000


@dataclass(slots=True)
class ColumnFacts:
    """A column of type `type`. `whole`: every number is a whole one. `fits`: every cell can be cast to `wanted` without
    loss.

    Distinct values are counted up to 50,000; beyond, what was seen until then stands for all.
    """

    type: pa.DataType
    wanted: pa.DataType | None = None
    rows: int = 0
    nulls: int = 0
    whole: bool = True
    fits: bool = True
    word: tuple[int, str] | None = None
    first: Any = None
    _values: set[Any] = field(default_factory=set)
    _counted: int = 0

    def look(self, column: pa.Array) -> None:
        """Take the next cells in."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self.rows and len(column):
            self.first = column[0].as_py()
        self.nulls += column.null_count
        if self.whole and pa.types.is_floating(column.type):
            self.whole = pc.all(pc.equal(pc.round(column), column)).as_py() is not False
        if self.fits and self.wanted is not None:
            self._try(column)
        if len(self._values) < _LIMIT:
            self._values.update(pc.unique(column).drop_null().to_pylist())
            self._counted = self.rows + len(column)
        self.rows += len(column)

    def _try(self, column: pa.Array) -> None:
        import pyarrow as pa

        try:
            column.cast(self.wanted)
        except pa.ArrowException:
            self.fits = False
            if pa.types.is_string(column.type):
                self.word = next(
                    ((self.rows + row + 1, text[:60]) for row, text in enumerate(column.to_pylist()) if _is_word(text)),
                    None,
                )

    @property
    def distinct(self) -> int:
        """Different values among the first `counted` rows; an empty text is none."""
        return len(self._values - {""})

    @property
    def counted(self) -> int:
        """Rows whose values were counted: all, unless there are very many values."""
        return self._counted


def missing(column: pa.Array) -> pa.Array:
    """Which cells hold no value, an empty text being none; bool [N]."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        return pc.is_null(column)
    return pc.equal(pc.utf8_trim_whitespace(column), "").fill_null(True)


def _is_word(text: str | None) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return True
    return False
