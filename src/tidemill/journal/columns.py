"""The Parquet form of the log: one file a kind for each sealed spool, columns as the records of `domain.prediction`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

Kind = Literal["predictions", "feedback"]

_TIME = pa.timestamp("us", tz="UTC")
_FLOATS = pa.list_(pa.float32())
SCHEMAS: dict[Kind, Any] = {
    "predictions": pa.schema(
        [
            ("id", pa.string()),
            ("at", _TIME),
            ("model", pa.string()),
            ("version", pa.int64()),
            ("bundle", pa.string()),
            ("input_digest", pa.string()),
            ("input", pa.binary()),
            ("scores", _FLOATS),
            ("output", pa.string()),
            ("embedding", _FLOATS),
            ("latency_ms", pa.float64()),
        ]
    ),
    "feedback": pa.schema(
        [("prediction_id", pa.string()), ("label", pa.string()), ("at", _TIME), ("model", pa.string())]
    ),
}
"""Parquet schemas. Times are UTC to the microsecond."""

_ROW_GROUP = 2048  # small, so that one id is found without reading the pictures beside it


def to_table(kind: Kind, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as `records.read_payload` gives them, as a table of the kind's schema."""
    schema = SCHEMAS[kind]
    return pa.table({field.name: pa.array([row[field.name] for row in rows], field.type) for field in schema}, schema)


def to_parquet(table: pa.Table) -> bytes:
    """The table as one Parquet file, compressed with zstd."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP)
    return bytes(sink.getvalue())


def to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """A table's rows, `at` in microseconds, as `records.to_prediction` and `to_feedback` take them."""
    index = table.schema.get_field_index("at")
    rows: list[dict[str, Any]] = table.set_column(index, "at", table["at"].cast(pa.int64())).to_pylist()
    return rows
