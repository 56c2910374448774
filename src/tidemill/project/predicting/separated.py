"""CSV and TSV in chunks. Cells stay the text that they are; the numbers that a model takes become numbers."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 1 << 20
_SHOWN = 40  # characters of a bad value


class Separated:
    """One CSV or TSV file with a header. `numbers` are the columns that are numbers; with `gaps`, NA and '' are null.

    A row with too many or too few cells is there, all null, with its problem. `rows` is known once all were read.
    """

    rows: int | None = None

    def __init__(self, path: Path, delimiter: str, numbers: Sequence[str], *, gaps: bool) -> None:
        import pyarrow as pa

        self._path, self._delimiter, self._gaps = path, delimiter, gaps
        self._numbers = frozenset(numbers)
        with self._reader(None, []) as reader:  # as what its first rows look like
            self._names: list[str] = reader.schema.names
            self.texts = [field.name for field in reader.schema if field.type == pa.string()]
            if not any(batch.num_rows for batch in reader) and not self._ragged():
                self.rows = 0
        kinds = [(name, pa.float64() if name in self._numbers else pa.string()) for name in self._names]
        self.schema: pa.Schema = pa.schema(kinds)

    def _ragged(self) -> bool:
        bad: list[tuple[int, str]] = []
        with self._reader({}, bad) as reader:
            for _ in reader:
                pass
        return bool(bad)

    def _reader(self, kinds: Mapping[str, Any] | None, bad: list[tuple[int, str]]) -> Any:
        """`bad` takes the rows with too many or too few cells: their place from 0, and what is wrong."""
        from pyarrow import csv

        def refuse(row: Any) -> str:
            cells = f"{row.actual_columns} cell{'s' * (row.actual_columns != 1)}"
            bad.append((row.number - 2, f"{cells}, not {row.expected_columns}"))
            return "skip"

        return csv.open_csv(
            _as_utf8(self._path),
            read_options=csv.ReadOptions(use_threads=False, block_size=_BLOCK),  # with threads rows have no numbers
            parse_options=csv.ParseOptions(
                delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=csv.ConvertOptions(
                column_types=kinds, strings_can_be_null=self._gaps and kinds is not None
            ),
        )

    def tables(self, skip: int) -> Iterator[tuple[pa.Table, Mapping[int, str]]]:
        """The rows behind the first `skip`, with what is wrong with some of each table's, by their index in it."""
        import pyarrow as pa

        bad: list[tuple[int, str]] = []
        place = 0
        kinds = dict.fromkeys(self._names, pa.string())
        with self._reader(kinds, bad) as reader:
            for batch in reader:
                table, ragged = _with_ragged(pa.Table.from_batches([batch]), place, bad)
                yield from self._behind(table, ragged, place, skip)
                place += table.num_rows
        table, ragged = _with_ragged(pa.schema(list(kinds.items())).empty_table(), place, bad, last=True)
        yield from self._behind(table, ragged, place, skip)
        self.rows = place + table.num_rows

    def _behind(
        self, table: pa.Table, ragged: Mapping[int, str], place: int, skip: int
    ) -> Iterator[tuple[pa.Table, Mapping[int, str]]]:
        cut = max(0, skip - place)
        kept = table.slice(cut)
        if not kept.num_rows:
            return
        problems = {row - cut: said for row, said in ragged.items() if row >= cut}
        kept, words = as_numbers(kept, self._numbers)
        yield kept, words | problems


def _as_utf8(path: Path) -> Any:
    """The file as a stream in which U+FFFD stands for what is no UTF-8, so that only its own cell suffers."""
    import pyarrow as pa

    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    stream = pa.input_stream(str(path), compression=None)
    return pa.TransformInputStream(stream, lambda read: decoder.decode(bytes(read), final=not len(read)).encode())


def _with_ragged(
    table: pa.Table, place: int, bad: list[tuple[int, str]], *, last: bool = False
) -> tuple[pa.Table, dict[int, str]]:
    """`table`, which begins at row `place`, with a row of nulls where a ragged one was; these leave `bad`."""
    import pyarrow as pa

    parts: list[Any] = []
    problems: dict[int, str] = {}
    empty = pa.table({name: pa.nulls(1, pa.string()) for name in table.column_names})
    taken = rows = 0
    while bad and (last or bad[0][0] - place - rows <= table.num_rows - taken):
        ahead = min(max(0, bad[0][0] - place - rows), table.num_rows - taken)
        parts += [table.slice(taken, ahead), empty]
        taken, rows = taken + ahead, rows + ahead + 1
        problems[rows - 1] = bad.pop(0)[1]
    return (pa.concat_tables([*parts, table.slice(taken)]) if parts else table), problems


def as_numbers(table: pa.Table, names: frozenset[str]) -> tuple[pa.Table, dict[int, str]]:
    """The columns `names`, which are text, as float64. What is no number becomes null, and is named by its row."""
    import pyarrow as pa

    problems: dict[int, str] = {}
    for position, name in enumerate(table.column_names):
        if name not in names:
            continue
        try:
            numbers = table.column(name).cast(pa.float64())
        except pa.ArrowInvalid:
            values = [_number(value) for value in table.column(name).to_pylist()]
            for row, value in enumerate(values):
                if isinstance(value, str):
                    problems.setdefault(row, f"column {name!r}: {value[:_SHOWN]!r} is not a number")
            numbers = pa.array([None if isinstance(value, str) else value for value in values], pa.float64())
        table = table.set_column(position, name, numbers)
    return table, problems


def _number(value: str | None) -> float | str | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return value
