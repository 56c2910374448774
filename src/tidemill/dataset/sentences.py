"""A table with a column of text, and the label that each text has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.checks.sentences import check_sentences
from tidemill.dataset.columns import TARGETS, TEXTS, choose, decide_kind, examine, stream, target_casts, unfilled, unite
from tidemill.dataset.draws import assign
from tidemill.dataset.facts import ColumnFacts
from tidemill.dataset.source import LEFT_OUT, Note, Source
from tidemill.dataset.table_rows import TableRows, cast_columns, hash_batches
from tidemill.dataset.tables import Table
from tidemill.domain.dataset import Column, DatasetVersion, Kind
from tidemill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def read_sentences(
    path: Path,
    tables: Mapping[str | None, Table],
    *,
    text: str | None,
    target: str | None,
    kind: Kind | None,
    previous: DatasetVersion | None,
    note: Note,
    scratch: Path | None = None,
    inspection: Inspection | None = None,
) -> Source:
    """The texts of `tables`, read from `path`; columns that are neither text nor target are left out."""
    import pyarrow as pa

    schema = unite(tables)
    if previous is not None:
        text, target = text or previous.column("text").name, target or previous.column("target").name
        kind = kind or previous.kind
    label = choose(target, TARGETS, schema.names, option="--target", what="holds the label")
    others = [name for name in schema.names if name != label]
    source = choose(text, TEXTS, others, option="--text", what="holds the text")
    if left_out := [name for name in others if name != source]:
        note(f"left out: {', '.join(left_out)}")
    schema = pa.schema([schema.field(source), schema.field(label)])
    facts = examine(tables, schema)
    kind = decide_kind(facts[label], kind or "classification")
    if kind == "regression":
        raise DataError(f"{path}: texts are classified, and {label!r} is to be a number", "leave --kind out")
    _check_text(path, source, facts[source])
    casts = {label: target_casts(facts[label], label, kind)}
    row_column = "name" if "name" not in (source, label) else "row_name"
    counts = {split: table.rows for split, table in tables.items()}

    def batches() -> Iterator[pa.RecordBatch]:
        names = _names(counts)
        for batch in stream(tables, schema):
            numbered = pa.array(list(islice(names, batch.num_rows)), pa.string())
            packed = cast_columns(batch, casts)
            yield pa.record_batch([numbered, *packed.columns], names=[row_column, source, label])

    texts = hash_batches(batches, [source], scratch)
    splits = assign(counts, texts, part_equal=False)
    inspection = inspection or Inspection()
    splits[unfilled(tables, schema, {source: "text", label: "target"}, inspection)] = LEFT_OUT
    columns = (
        Column(row_column, "string", "path"),
        Column(source, "string", "text"),
        Column(label, str(casts[label][-1]), "target"),
    )
    found = Source(kind, columns, TableRows(batches, hash_batches(batches, [source, label], scratch), splits), None)
    check_sentences(found, inspection)
    return found


def _names(rows: Mapping[str | None, int]) -> Iterator[str]:
    """The number of each row in its file, from 1."""
    for split, count in rows.items():
        for row in range(1, count + 1):
            yield f"{split}/{row}" if split else str(row)


def _check_text(path: Path, name: str, facts: ColumnFacts) -> None:
    import pyarrow as pa

    if not pa.types.is_string(facts.type):
        raise DataError(f"{path}: the text column {name!r} holds {facts.type}", "name the column with --text COLUMN")
