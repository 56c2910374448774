"""The Parquet form of the log: one file a kind for each sealed spool, columns as the records of `domain.prediction`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.journal.batches import is_batch, open_batch
from tidemill.journal.frames import Frame
from tidemill.journal.records import read_payload
from tidemill.journal.segments import KINDS, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

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

_AT_ONCE = 4096  # rows, or batches
_MUCH = 4 << 20  # bytes of batches
_ROW_GROUP = 2048  # rows; small, so that one id is found without reading all that is beside it
_GROUP_BYTES = 2 << 20  # as many as that only where they are small


def tables(frames: Iterable[Frame]) -> dict[Kind, pa.Table]:
    """The rows of each kind. Some thousand at a time, for a row takes far more room in Python than in a table."""
    waiting: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    batches: list[bytes] = []
    made: dict[Kind, list[pa.Table]] = {kind: [SCHEMAS[kind].empty_table()] for kind in KINDS}

    def collect(least: int) -> None:
        for kind in KINDS:
            if len(waiting[kind]) >= least:
                made[kind].append(to_table(kind, waiting[kind]))
                waiting[kind] = []

    def collect_batches() -> None:
        if batches:
            made["predictions"].append(batch_table(batches))
            batches.clear()

    size = 0
    for each in frames:
        if is_batch(each.payload):
            batches.append(each.payload)
            size += len(each.payload)
            if size > _MUCH or len(batches) >= _AT_ONCE:
                collect_batches()
                size = 0
            continue
        [row] = read_payload(each.payload)
        waiting["predictions" if row["kind"] == "prediction" else "feedback"].append(row)
        collect(_AT_ONCE)
    collect(1)
    collect_batches()
    return {kind: pa.concat_tables(parts) for kind, parts in made.items()}


def to_table(kind: Kind, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as `records.read_payload` gives them, as a table of the kind's schema."""
    schema = SCHEMAS[kind]
    return pa.table({field.name: pa.array([row[field.name] for row in rows], field.type) for field in schema}, schema)


def batch_table(payloads: Sequence[bytes]) -> pa.Table:
    """The rows of batches, as `to_table` gives them, without making a record of each."""
    batches = [open_batch(payload) for payload in payloads]
    columns: dict[str, Any] = {
        name: pa.array([value for each in batches for value in each.head[key]], pa.string())
        for name, key in (("id", "ids"), ("output", "outputs"))
    }
    for name in ("at", "model", "version", "bundle"):
        values = [each.head[name] for each in batches for _ in each.head["ids"]]
        columns[name] = pa.array(values, SCHEMAS["predictions"].field(name).type)
    digests, kept, latencies = zip(*(found for each in batches for _, found in each.inputs()), strict=True)
    columns |= {"input_digest": digests, "input": pa.array(kept, pa.binary()), "latency_ms": latencies}
    for name in ("scores", "embedding"):
        columns[name] = _lists([getattr(each, name) for each in batches])
    return pa.table(columns, SCHEMAS["predictions"])


def _lists(parts: Sequence[NDArray[np.float32]]) -> pa.ListArray:
    """Arrays [rows, width], whose widths may differ, as one column of lists."""
    lengths = np.concatenate([np.full(len(part), part.shape[1]) for part in parts])
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    values = np.concatenate([part.ravel() for part in parts])
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values, pa.float32()))


def to_parquet(table: pa.Table) -> bytes:
    """The table as one Parquet file, compressed with zstd."""
    sink = pa.BufferOutputStream()
    average = max(1, table.nbytes // max(1, table.num_rows))
    rows = max(1, min(_ROW_GROUP, _GROUP_BYTES // average))
    pq.write_table(table, sink, compression="zstd", row_group_size=rows)
    return bytes(sink.getvalue())


def to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """A table's rows, `at` in microseconds, as `records.to_prediction` and `to_feedback` take them."""
    index = table.schema.get_field_index("at")
    rows: list[dict[str, Any]] = table.set_column(index, "at", table["at"].cast(pa.int64())).to_pylist()
    return rows
