"""Cells that no table should hold: numbers that no calculation gave, and words in a column of numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"


@dataclass(slots=True)
class _Mixed:
    """A text column: how many cells are filled, how many are numbers, and the first that is neither empty nor one."""

    filled: int = 0
    numbers: int = 0
    bad: tuple[int, str] | None = None


@dataclass(slots=True)
class CellChecks:
    """Looks at the batches of a table one after the other. `text` are columns that are meant as text; None where the
    file has types of its own."""

    file: Path
    schema: pa.Schema
    text: frozenset[str] | None
    rows: int = 0
    mixed: dict[str, _Mixed] = field(default_factory=dict)

    def look(self, batch: pa.RecordBatch) -> None:
        """Raises DataError for NaN and infinity."""
        import pyarrow as pa

        for name in batch.schema.names:
            column = batch.column(name)
            if pa.types.is_floating(column.type):
                self._refuse_nan(name, column)
            elif pa.types.is_string(column.type) and self.text is not None and name not in self.text:
                self._count(self.mixed.setdefault(name, _Mixed()), column)
        self.rows += batch.num_rows

    def finish(self) -> None:
        """A column of which half or more are numbers is a number column. Raises DataError at its first other cell."""
        for name, found in self.mixed.items():
            if found.bad is not None and found.numbers * 2 >= max(1, found.filled):
                row, cell = found.bad
                raise DataError(
                    f"{self.file}: column {name!r} holds numbers, but row {row} holds {cell[:60]!r}",
                    f"correct the cell or leave it empty; if the column is meant as text:  --as-text {name}",
                )

    def _refuse_nan(self, name: str, column: pa.Array) -> None:
        import pyarrow.compute as pc

        bad = pc.invert(pc.is_finite(column))
        if pc.any(bad).as_py():
            row = pc.index(bad, True).as_py()
            raise DataError(
                f"{self.file}: column {name!r} holds {str(column[row].as_py()).replace('nan', 'NaN')} "
                f"in row {self.rows + row + 1}",
                "correct the cell, or leave it empty if the value is not known",
            )

    def _count(self, found: _Mixed, column: pa.Array) -> None:
        import pyarrow.compute as pc

        filled = pc.not_equal(pc.utf8_trim_whitespace(column), "")
        numbers = pc.match_substring_regex(column, _NUMBER)
        bad = pc.and_(filled, pc.invert(numbers))
        found.filled += pc.sum(filled).as_py() or 0
        found.numbers += pc.sum(numbers).as_py() or 0
        if found.bad is None and pc.any(bad).as_py():
            row = pc.index(bad, True).as_py()
            found.bad = self.rows + row + 1, column[row].as_py()
