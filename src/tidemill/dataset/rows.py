"""A table whose rows are examples: numbers, booleans and categories, and a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tidemill.dataset.columns import (
    TARGETS,
    check_names,
    choose,
    decide_kind,
    examine,
    is_number,
    stream,
    target_casts,
    unite,
)
from tidemill.dataset.draws import assign, mention_shared
from tidemill.dataset.facts import ColumnFacts
from tidemill.dataset.source import Note, Source
from tidemill.dataset.table_rows import TableRows, cast_columns, hash_batches
from tidemill.dataset.tables import Table
from tidemill.domain.dataset import Column, DatasetVersion, Kind
from tidemill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    Casts = dict[str, tuple[pa.DataType, ...]]

Role = Literal["feature", "target", "ignored"]
_IDENTIFIERS = frozenset({"id", "index", "row", "row_id", "unnamed: 0"})


def read_rows(
    path: Path,
    tables: Mapping[str | None, Table],
    *,
    target: str | None,
    kind: Kind | None,
    previous: DatasetVersion | None,
    note: Note,
    scratch: Path | None = None,
) -> Source:
    """The rows of `tables`, read from `path`. With `previous` they must have its columns. Raises DataError."""
    import pyarrow as pa

    schema = unite(tables)
    casts: Casts = {}
    wanted: dict[str, pa.DataType] = {}
    if previous is not None:
        hint = "give it the same columns; other columns are a new major version (--version) or another --name"
        check_names({c.name for c in previous.columns}, set(schema.names), str(path), previous.tag, hint)
        target, kind = target or previous.column("target").name, kind or previous.kind
        schema = pa.schema([schema.field(column.name) for column in previous.columns])
        wanted = {c.name: kept for c in previous.columns if (kept := _kept_type(c, schema.field(c.name).type))}
    name = choose(target, TARGETS, schema.names, option="--target", what="is to be predicted")
    facts = examine(tables, schema, wanted)
    if previous is not None:
        casts = {c.name: cast for c in previous.columns if (cast := _cast(facts[c.name], c, previous, path))}
    described = {each: _cast_facts(facts[each], casts.get(each)) for each in schema.names}
    kind = decide_kind(described[name], kind)
    casts[name] = (*casts.get(name, ()), *target_casts(described[name], name, kind))

    def batches() -> Iterator[pa.RecordBatch]:
        return (cast_columns(batch, casts) for batch in stream(tables, schema))

    columns = _columns(schema, casts, described, name, previous, note)
    if not any(column.role == "feature" for column in columns):
        raise DataError(f"{path} has no column to predict {name!r} from", "give it columns of numbers or categories")
    hashes = hash_batches(batches, schema.names, scratch)
    splits = assign({split: table.rows for split, table in tables.items()}, hashes, part_equal=True)
    if None not in tables:
        mention_shared(splits, hashes, note)
    return Source(kind, columns, TableRows(batches, hashes, splits), None)


def _columns(
    schema: pa.Schema, casts: Casts, facts: Mapping[str, ColumnFacts], target: str, previous: DatasetVersion | None,
    note: Note,
) -> tuple[Column, ...]:  # fmt: skip
    before: dict[str, Role] = {}
    if previous is not None:
        before = {c.name: c.role for c in previous.columns if c.role in ("feature", "ignored")}
    columns = []
    for field in schema:
        role: Role = (
            "target" if field.name == target else before.get(field.name) or _role(facts[field.name], field, note)
        )
        columns.append(Column(field.name, str([field.type, *casts.get(field.name, ())][-1]), role))
    return tuple(columns)


def _role(facts: ColumnFacts, field: pa.Field, note: Note) -> Role:
    import pyarrow as pa

    why = ""
    if pa.types.is_null(facts.type) or facts.nulls == facts.rows:
        why = "it is empty"
    elif pa.types.is_temporal(facts.type):
        why = "it holds dates or times"
    elif pa.types.is_string(facts.type) and facts.distinct > max(50, facts.counted // 2):
        why = "nearly every row has a text of its own"
    elif field.name.lower() in _IDENTIFIERS and pa.types.is_integer(facts.type) and facts.distinct == facts.counted:
        why = "it numbers the rows"
    if why:
        note(f"column {field.name!r} is kept, but no feature: {why}")
    return "ignored" if why else "feature"


def _kept_type(wanted: Column, found: pa.DataType) -> pa.DataType | None:
    """The type that column `wanted` had, where one of type `found` might be cast to it without a loss."""
    import pyarrow as pa

    if wanted.type in (str(found), "null") or wanted.role == "ignored" or "[" in wanted.type:
        return None
    return pa.type_for_alias(wanted.type)


def _cast(facts: ColumnFacts, wanted: Column, previous: DatasetVersion, path: Path) -> tuple[pa.DataType, ...]:
    """What makes a column what it was in `previous`, where no value is lost. Raises DataError where it is another."""
    import pyarrow as pa

    kind = facts.wanted
    if kind is None:
        if wanted.type in (str(facts.type), "null") or wanted.role == "ignored":
            return ()
    elif pa.types.is_string(kind) or pa.types.is_null(facts.type):
        return (kind,)
    elif is_number(kind) and is_number(facts.type):
        return (kind,) if facts.fits else (pa.float64(),)
    where = f"{path}: column {wanted.name!r} "
    if kind is not None and is_number(kind) and pa.types.is_string(facts.type):
        row, text = facts.word or (1, str(facts.first))
        raise DataError(
            f"{where}holds numbers in {previous.tag}, but row {row} holds {text!r}", "correct or empty that cell"
        )
    raise DataError(f"{where}holds {facts.type}, in {previous.tag} {wanted.type}", "give it the same types")


def _cast_facts(facts: ColumnFacts, casts: tuple[pa.DataType, ...] | None) -> ColumnFacts:
    if casts:
        facts.type = casts[-1]
    return facts
