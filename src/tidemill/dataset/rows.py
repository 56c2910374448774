"""A table whose rows are examples: numbers, booleans and categories, and a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.checks.schema import (
    Plan,
    arrow_type,
    castable,
    compare_names,
    compare_types,
    renamed,
    report,
)
from tidemill.dataset.checks.tables import check_table
from tidemill.dataset.columns import TARGETS, choose, decide_kind, examine, stream, target_casts, unfilled, unite
from tidemill.dataset.draws import assign
from tidemill.dataset.facts import ColumnFacts
from tidemill.dataset.source import LEFT_OUT, Note, Source
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
    inspection: Inspection | None = None,
) -> Source:
    """The rows of `tables`, read from `path`.

    With `previous` they get its columns, as the policy of `inspection` says; it hears of every difference. Raises
    DataError for columns that cannot be used.
    """
    inspection = inspection or Inspection()
    schema = unite(tables)
    plan = None
    if previous is not None:
        target, kind = target or _target(previous, schema), kind or previous.kind
        if inspection.policy.schema != "new":
            plan = compare_names(previous, schema, inspection)
            tables, schema = _renamed(tables, schema, plan, previous)
    wanted = _wanted(previous, schema) if previous is not None and plan is not None else {}
    facts = examine(tables, schema, wanted)
    if previous is not None and plan is not None:
        compare_types(previous, facts, inspection, plan)
        report(plan, previous, path, inspection)
        if target not in schema.names:
            inspection.refuse(path)
    name = choose(target, TARGETS, schema.names, option="--target", what="is to be predicted")
    casts = plan.casts if plan is not None else {}
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
    splits[unfilled(tables, schema, {name: "target"}, inspection)] = LEFT_OUT
    source = Source(kind, columns, TableRows(batches, hashes, splits), None)
    check_table(source, inspection, given=None not in tables)
    return source


def _target(previous: DatasetVersion, schema: pa.Schema) -> str | None:
    """The column that `previous` predicts; None when it is not there any more, and none is predicted that is."""
    name = previous.column("target").name
    return name if name in schema.names else None


def _renamed(
    tables: Mapping[str | None, Table], schema: pa.Schema, plan: Plan, previous: DatasetVersion
) -> tuple[Mapping[str | None, Table], pa.Schema]:
    """The tables with the columns of the plan."""
    import pyarrow as pa

    before = {column.name: arrow_type(column.type) or pa.null() for column in previous.columns}
    fields = [(to, schema.field(name).type if name else before[to]) for to, name in plan.names.items()]
    if all(to == name for to, name in plan.names.items()):
        return tables, pa.schema(fields)

    def read(table: Table) -> Iterator[pa.RecordBatch]:
        for batch in stream({None: table}, schema):
            yield renamed(batch, plan.names, before.__getitem__)

    out = pa.schema(fields)
    return {split: replace(each, schema=out, read=partial(read, each)) for split, each in tables.items()}, out


def _wanted(previous: DatasetVersion, schema: pa.Schema) -> dict[str, pa.DataType]:
    """The type that each column had, where it might be cast to it without a loss."""
    found: dict[str, pa.DataType] = {}
    for column in previous.columns:
        if column.name in schema.names and column.type not in (str(schema.field(column.name).type), "null"):
            kind = arrow_type(column.type)
            if kind is not None and castable(schema.field(column.name).type, kind):
                found[column.name] = kind
    return found


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


def _cast_facts(facts: ColumnFacts, casts: tuple[pa.DataType, ...] | None) -> ColumnFacts:
    if casts:
        facts.type = casts[-1]
    return facts
