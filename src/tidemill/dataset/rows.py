"""A table whose rows are examples: numbers, booleans and categories, and a target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tidemill.dataset.columns import TARGETS, as_target, check_names, choose, decide_kind, is_number, unite
from tidemill.dataset.digest import row_hashes
from tidemill.dataset.draws import assign, batches, given_splits, mention_shared, tell_apart
from tidemill.dataset.source import Note, Source
from tidemill.domain.dataset import Column, DatasetVersion, Kind
from tidemill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Role = Literal["feature", "target", "ignored"]
_IDENTIFIERS = frozenset({"id", "index", "row", "row_id", "unnamed: 0"})


def read_rows(
    path: Path,
    tables: Mapping[str | None, pa.Table],
    *,
    target: str | None,
    kind: Kind | None,
    previous: DatasetVersion | None,
    note: Note,
) -> Source:
    """The rows of `tables`, read from `path`. With `previous` they must have its columns. Raises DataError."""
    table = unite(tables)
    if previous is not None:
        hint = "give it the same columns; other columns are a new major version (--version) or another --name"
        check_names({c.name for c in previous.columns}, set(table.column_names), str(path), previous.tag, hint)
        target, kind = target or previous.column("target").name, kind or previous.kind
        table = _like(table, previous, path)
    name = choose(target, TARGETS, table.column_names, option="--target", what="is to be predicted")
    kind = decide_kind(table.column(name), kind)
    at = table.column_names.index(name)
    table = table.set_column(at, name, as_target(table.column(name), name, kind))
    columns = _columns(table, name, previous, note)
    if not any(column.role == "feature" for column in columns):
        raise DataError(f"{path} has no column to predict {name!r} from", "give it columns of numbers or categories")
    hashes = row_hashes(table, table.column_names)
    splits = assign(given_splits(tables), tell_apart(hashes))
    if None not in tables:
        mention_shared(splits, hashes, note)
    return Source(kind, columns, batches(table, splits), None)


def _columns(table: pa.Table, target: str, previous: DatasetVersion | None, note: Note) -> tuple[Column, ...]:
    before: dict[str, Role] = {}
    if previous is not None:
        before = {c.name: c.role for c in previous.columns if c.role in ("feature", "ignored")}
    columns = []
    for field in table.schema:
        role: Role = "target" if field.name == target else before.get(field.name) or _role(table, field.name, note)
        columns.append(Column(field.name, str(field.type), role))
    return tuple(columns)


def _role(table: pa.Table, name: str, note: Note) -> Role:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.column(name)
    why = ""
    if pa.types.is_null(column.type) or column.null_count == len(column):
        why = "it is empty"
    elif pa.types.is_temporal(column.type):
        why = "it holds dates or times"
    elif pa.types.is_string(column.type) and pc.count_distinct(column).as_py() > max(50, len(column) // 2):
        why = "nearly every row has a text of its own"
    elif (
        name.lower() in _IDENTIFIERS
        and pa.types.is_integer(column.type)
        and pc.count_distinct(column).as_py() == len(column)
    ):
        why = "it numbers the rows"
    if why:
        note(f"column {name!r} is kept, but no feature: {why}")
    return "ignored" if why else "feature"


def _like(table: pa.Table, previous: DatasetVersion, path: Path) -> pa.Table:
    """The columns in the order and, where no value is lost, the types of `previous`."""
    import pyarrow as pa

    columns = [_cast(table.column(c.name), c, previous, path) for c in previous.columns]
    return pa.table(columns, names=[c.name for c in previous.columns])


def _cast(column: pa.ChunkedArray, wanted: Column, previous: DatasetVersion, path: Path) -> pa.ChunkedArray:
    import pyarrow as pa

    if wanted.type in (str(column.type), "null") or wanted.role == "ignored":
        return column
    kind = pa.type_for_alias(wanted.type) if "[" not in wanted.type else column.type
    if pa.types.is_string(kind) or pa.types.is_null(column.type):
        return column.cast(kind)
    if is_number(kind) and is_number(column.type):
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:
            return column.cast(pa.float64())
    where = f"{path}: column {wanted.name!r} "
    if is_number(kind) and pa.types.is_string(column.type):
        row, text = _first_text(column)
        raise DataError(
            f"{where}holds numbers in {previous.tag}, but row {row + 1} holds {text!r}", "correct or empty that cell"
        )
    raise DataError(f"{where}holds {column.type}, in {previous.tag} {wanted.type}", "give it the same types")


def _first_text(column: pa.ChunkedArray) -> tuple[int, str]:
    for row, text in enumerate(column.to_pylist()):
        try:
            float(text or 0)
        except ValueError:
            return row, text[:60]
    return 0, str(column[0].as_py())
