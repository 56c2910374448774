"""Cells that no table should hold: numbers that no calculation gave, and words in a column of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.checks.finding import EXAMPLES, Inspection
from tidemill.dataset.lines import MISSING

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_NUMBER = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
_WHOLE = r"^[-+]?\d{1,18}$"


@dataclass(slots=True)
class _Mixed:
    """A text column: how many cells are filled, are numbers, and are whole ones."""

    filled: int = 0
    numbers: int = 0
    whole: int = 0


@dataclass(slots=True)
class CellChecks:
    """Looks at the batches of a table one after the other, to find the columns that hold bad cells. `text` are columns
    that are meant as text; None where the file has types of its own."""

    text: frozenset[str] | None
    bad: dict[str, pa.DataType] = field(default_factory=dict)
    mixed: dict[str, _Mixed] = field(default_factory=dict)

    def look(self, batch: pa.RecordBatch) -> None:
        """Take rows in."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for name in batch.schema.names:
            column = batch.column(name)
            if pa.types.is_floating(column.type):
                if name not in self.bad and not pc.all(pc.is_finite(column)).as_py() and len(column.drop_null()):
                    self.bad[name] = column.type
            elif pa.types.is_string(column.type) and self.text is not None and name not in self.text:
                self._count(self.mixed.setdefault(name, _Mixed()), column)

    def columns(self) -> dict[str, pa.DataType]:
        """The columns that hold bad cells, with the type of the others: a text column of which half or more are numbers
        is a number column."""
        import pyarrow as pa

        for name, found in self.mixed.items():
            if found.numbers < found.filled <= found.numbers * 2:
                self.bad[name] = pa.int64() if found.whole == found.numbers else pa.float64()
        return self.bad

    def _count(self, found: _Mixed, column: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = pc.utf8_trim_whitespace(column)
        found.filled += pc.sum(pc.invert(pc.is_in(cells, pa.array(MISSING)))).as_py() - column.null_count
        found.numbers += pc.sum(pc.match_substring_regex(cells, _NUMBER)).as_py() or 0
        found.whole += pc.sum(pc.match_substring_regex(cells, _WHOLE)).as_py() or 0


def emptied(
    batch: pa.RecordBatch, columns: Mapping[str, pa.DataType]
) -> tuple[pa.RecordBatch, dict[str, NDArray[np.int64]]]:
    """The batch with `columns` in their types and their bad cells empty, and in which rows of it those were."""
    import pyarrow as pa

    arrays, bad = [], {}
    for name in batch.schema.names:
        column = batch.column(name)
        if name in columns:
            column, bad[name] = _emptied(column, columns[name])
        arrays.append(column)
    return pa.record_batch(arrays, names=batch.schema.names), bad


def _emptied(column: pa.Array, kind: pa.DataType) -> tuple[pa.Array, NDArray[np.int64]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = column
    missing = pc.is_null(column)
    if pa.types.is_string(column.type):
        cells = pc.utf8_trim_whitespace(column)
        missing = pc.is_in(cells, pa.array([*MISSING, None]))
        good = pc.match_substring_regex(cells, _NUMBER)
        plain = pc.if_else(good, pc.replace_substring_regex(cells, r"^\+", ""), pa.scalar(None, pa.string()))
        numbers = plain.cast(kind)
    if pa.types.is_floating(kind):
        numbers = pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, kind))
    bad = pc.and_(pc.is_null(numbers), pc.invert(missing))
    return numbers, np.flatnonzero(bad.to_numpy(zero_copy_only=False))


@dataclass(slots=True)
class BadCells:
    """The bad cells of all files: how many in each column, and the first."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[tuple[Path, int, str]]] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)

    def gather(
        self, file: Path, batches: Iterable[pa.RecordBatch], columns: Mapping[str, pa.DataType]
    ) -> NDArray[np.int64]:
        """Take in those of one file, given as it is; returns its rows that hold one, from 0."""
        import pyarrow as pa

        rows, start = [np.empty(0, np.int64)], 0
        for batch in batches:
            for name, at in emptied(batch, columns)[1].items():
                if len(at):
                    rows.append(at + start)
                    self.counts[name] = self.counts.get(name, 0) + len(at)
                    if pa.types.is_string(batch.schema.field(name).type):
                        self.words.add(name)
                    self._keep(file, name, batch.column(name), at, start)
            start += batch.num_rows
        return np.unique(np.concatenate(rows))

    def _keep(self, file: Path, name: str, column: pa.Array, at: NDArray[np.int64], start: int) -> None:
        kept = self.examples.setdefault(name, [])
        for row in at[: EXAMPLES - len(kept)].tolist():
            cell = column[row].as_py()
            shown = repr(cell[:60]) if isinstance(cell, str) else str(cell).replace("nan", "NaN")
            kept.append((file, start + row + 1, shown))

    def report(self, inspection: Inspection) -> None:
        """One finding for all columns."""
        if not self.counts:
            return
        total = sum(self.counts.values())
        text = f"; a column meant as text:  --as-text {min(self.words)}" if self.words else ""
        if total == 1:
            headline = self._only()
            remedy = "correct the cell or leave it empty, or leave its row out:  --on-problem leave-out" + text
        else:
            said = ", ".join(f"{name} ({count:,})" for name, count in self.counts.items())
            headline = f"{total:,} cells in columns of numbers are no numbers: {said}"
            remedy = "correct or empty them, or leave their rows out:  --on-problem leave-out" + text
        several = len({file for kept in self.examples.values() for file, _, _ in kept}) > 1
        shown = [
            f"{f'{file.name}, ' if several else ''}row {row:,}: {name} = {cell}"
            for at in range(EXAMPLES) for name, kept in self.examples.items() for file, row, cell in kept[at : at + 1]
        ]  # fmt: skip
        inspection.add("bad_cells", total, headline, remedy, examples=shown, columns=dict(self.counts))

    def _only(self) -> str:
        ((name, ((file, row, cell),)),) = self.examples.items()
        if name in self.words:
            return f"{file}: column {name!r} holds numbers, but row {row} holds {cell}"
        return f"{file}: column {name!r} holds {cell} in row {row}"
