"""Tables in files, read in chunks: CSV, TSV, Parquet, JSON and JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.domain.bundle import TableColumn
from tidemill.errors import InputError, NotFoundError, nearest
from tidemill.project.predicting.objects import Objects
from tidemill.project.predicting.separated import Separated
from tidemill.project.predicting.sources import Chunk, count_lines

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = (".csv", ".tsv", ".parquet", ".json", ".jsonl")
_ROWS = 8192  # of a chunk of Parquet
_BUFFER = 1 << 20


class Parquet:
    """One Parquet file; of a row group only the pages that are being read are in memory."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
        self.schema: pa.Schema = self._file.schema_arrow.remove_metadata()
        self.texts = [field.name for field in self.schema if _is_text(field.type)]
        self.rows: int = self._file.metadata.num_rows

    def tables(self, skip: int) -> Iterator[tuple[pa.Table, Mapping[int, str]]]:
        import pyarrow as pa

        groups = [self._file.metadata.row_group(index).num_rows for index in range(self._file.num_row_groups)]
        first = 0
        while first < len(groups) and groups[first] <= skip:
            skip -= groups[first]
            first += 1
        for batch in self._file.iter_batches(_ROWS, row_groups=list(range(first, len(groups)))):
            kept = batch.slice(skip)
            skip = max(0, skip - batch.num_rows)
            if kept.num_rows:
                yield pa.Table.from_batches([kept]), {}


class Tables:
    """Rows of one table, or of several with the same columns, in order.

    `columns` are those of a model for tables: they are what is answered. For texts it is None, and `column` names the
    one with the text; where it is None too, the only one that holds text is taken.
    """

    def __init__(self, files: Sequence[Path], columns: Sequence[TableColumn] | None, column: str | None = None) -> None:
        self.files = files
        self._model = columns
        self._opened = [open_table(file, columns) for file in files]
        self._text = text_column(self._opened[0], column) if columns is None else None
        self.total = sum(count_lines(f) if o.rows is None else o.rows for f, o in zip(files, self._opened, strict=True))
        self._check()

    def _check(self) -> None:
        first = self._opened[0].schema.names
        for file, opened in zip(self.files, self._opened, strict=True):
            if len(set(opened.schema.names)) != len(opened.schema.names):
                raise InputError(f"{file} names a column twice", "give each column a name of its own")
            if opened.schema != self._opened[0].schema:
                kinds = "columns" if opened.schema.names != first else "types of columns"
                raise InputError(f"{file} has other {kinds} than {self.files[0]}", "predict them one by one")
        if self._model is not None:
            _check_columns(self.files[0], first, [column.name for column in self._model])

    @property
    def schema(self) -> pa.Schema:
        import pyarrow as pa

        own = self._opened[0].schema
        return pa.schema([pa.field("file", pa.string()), *own]) if len(self.files) > 1 else own

    def chunks(self, skip: int) -> Iterator[Chunk]:
        for file, opened in zip(self.files, self._opened, strict=True):
            if opened.rows is not None and opened.rows <= skip:
                skip -= opened.rows
                continue
            row = skip
            with _readable(file):
                for table, problems in opened.tables(skip):
                    yield self._chunk(file, row, table, problems)
                    row += table.num_rows
            skip = max(0, skip - (opened.rows or 0))

    def _chunk(self, file: Path, first: int, table: pa.Table, problems: Mapping[int, str]) -> Chunk:
        several = len(self.files) > 1
        before = f"{file} " if several else ""
        names = [f"{before}row {row}" for row in range(first + 1, first + table.num_rows + 1)]
        columns: dict[str, Any] = {"file": [str(file)] * table.num_rows} if several else {}
        columns |= dict(zip(table.column_names, table.columns, strict=True))
        if self._model is not None:
            return Chunk(columns, names, table.select([column.name for column in self._model]), problems)
        texts: list[Any] = table.column(self._text).to_pylist()
        given = [InputError(problems.get(row, "no text")) if text is None else text for row, text in enumerate(texts)]
        return Chunk(columns, names, given)


def open_table(path: Path, columns: Sequence[TableColumn] | None) -> Parquet | Separated | Objects:
    """The table at `path`. Raises InputError for what is none, or has no rows."""
    suffix = path.suffix.lower()
    if suffix not in TABLES or path.is_dir():
        raise InputError(f"{path} is no table", f"give one of {', '.join(TABLES)}")
    numbers = [column.name for column in columns or () if column.type != "category"]
    with _readable(path):
        opened: Parquet | Separated | Objects
        if suffix == ".parquet":
            opened = Parquet(path)
        elif suffix in (".json", ".jsonl"):
            opened = Objects(path, numbers, lines=suffix == ".jsonl")
        else:
            opened = Separated(path, "\t" if suffix == ".tsv" else ",", numbers, gaps=columns is not None)
        if opened.rows == 0:
            raise InputError(f"{path} has no rows", "give a table with at least one row")
    return opened


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, ValueError, RecursionError) as error:  # bad UTF-8 and bad JSON are ValueErrors
        first = "".join(each if each.isprintable() else "?" for each in str(error)[:200])
        raise InputError(f"{path} cannot be read as {path.suffix[1:].upper()}: {first}", "check the file") from None


def _check_columns(path: Path, given: Sequence[str], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in given]
    if missing:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise InputError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing[:8]))}{more}",
            nearest(missing[0], given, kind="its columns"),
        )


def text_column(table: Parquet | Separated | Objects, column: str | None) -> str:
    """The column with the texts: the given one, or the only one that holds text. Raises InputError, NotFoundError."""
    names = table.schema.names
    if column is not None:
        if column not in names:
            raise NotFoundError(f"there is no column {column!r}", nearest(column, names, kind="columns"))
        return column
    if len(table.texts) == 1:
        return str(table.texts[0])
    raise InputError(
        f"it is not clear which column holds the text: {', '.join(table.texts or names)}", "name it with --column"
    )


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_string(kind) or kinds.is_large_string(kind))
