"""Columns made from others by a formula of a fixed list, and rows left out by a range; nothing is evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.reading import Steps
from tidemill.dataset.tables import Table
from tidemill.errors import DataError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
FORMULAS = '"minutes from A to B" (or seconds, hours, days), "hour of A", "weekday of A"'
_BETWEEN = re.compile(r"(seconds|minutes|hours|days) from (.+) to (.+)")
_PART = re.compile(r"(hour|weekday) of (.+)")


def prepared(table: Table, steps: Steps) -> Table:
    """`table` after `steps`. Raises DataError for a formula or a column that is not known."""
    import pyarrow as pa

    if steps == Steps():
        return table
    makers = {name: _formula(table, name, text) for name, text in steps.derive.items()}
    fields = {field.name: field.type for field in table.schema} | {name: kind for name, (kind, _) in makers.items()}
    for name in (*steps.keep, *steps.categories, *steps.columns):
        if name not in fields:
            raise DataError(f"{table.where} has no column {name!r}", nearest(name, fields, kind="columns"))
    fields |= dict.fromkeys(steps.categories, pa.string())
    schema = pa.schema([(name, fields[name]) for name in steps.columns or fields])

    def made() -> Iterator[pa.RecordBatch]:
        for batch in table.read():
            columns = {name: batch.column(name) for name in batch.schema.names}
            columns |= {name: make(batch) for name, (_, make) in makers.items()}
            yield pa.record_batch([columns[name] for name in columns], names=list(columns))

    def read() -> Iterator[pa.RecordBatch]:
        for batch in made():
            kept = batch.filter(_inside(batch, steps)) if steps.keep else batch
            yield pa.record_batch([kept.column(name).cast(fields[name]) for name in schema.names], schema=schema)

    rows, bad = table.rows, table.bad
    if steps.keep:
        inside = np.concatenate([_inside(batch, steps).to_numpy(zero_copy_only=False) for batch in made()])
        rows, bad = int(inside.sum()), (np.cumsum(inside) - 1)[bad[inside[bad]]]
    if not rows:
        raise DataError(f"{table.where}: no row is within the ranges of `keep`", "widen them, or check the columns")
    return Table(table.where, schema, rows, read, bad)


def _inside(batch: pa.RecordBatch, steps: Steps) -> pa.Array:
    """Rows whose values are there and within their ranges, both ends allowed."""
    import pyarrow.compute as pc

    inside = None
    for name, (low, high) in steps.keep.items():
        column = batch.column(name)
        within = pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high)).fill_null(False)
        inside = within if inside is None else pc.and_(inside, within)
    return inside


def _formula(table: Table, name: str, text: str) -> tuple[pa.DataType, Callable[[pa.RecordBatch], pa.Array]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if between := _BETWEEN.fullmatch(text.strip()):
        unit, start, end = between.groups()
        for column in (start, end):
            _check_time(table, column)

        def elapsed(batch: pa.RecordBatch) -> pa.Array:
            micros = [_time(batch.column(each)).cast(pa.int64()) for each in (start, end)]
            return pc.divide(pc.subtract(micros[1], micros[0]).cast(pa.float64()), _SECONDS[unit] * 1e6)

        return pa.float64(), elapsed
    if part := _PART.fullmatch(text.strip()):
        what, column = part.groups()
        _check_time(table, column)
        take = pc.hour if what == "hour" else pc.day_of_week
        return pa.int64(), lambda batch: take(_time(batch.column(column))).cast(pa.int64())
    raise DataError(f"{name!r} cannot be derived by {text!r}", f"known are {FORMULAS}")


def _time(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    return column.cast(pa.timestamp("us", column.type.tz if pa.types.is_timestamp(column.type) else None))


def _check_time(table: Table, name: str) -> None:
    import pyarrow as pa

    if name not in table.schema.names:
        raise DataError(f"{table.where} has no column {name!r}", nearest(name, table.schema.names, kind="columns"))
    kind = table.schema.field(name).type
    if not (pa.types.is_timestamp(kind) or pa.types.is_string(kind) or pa.types.is_date(kind)):
        raise DataError(f"{table.where}: column {name!r} holds {kind}, no times", "name a column of dates or times")
