"""A table with a column of text, and the label that each text has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.dataset.columns import TARGETS, TEXTS, as_target, choose, decide_kind, unite
from tidemill.dataset.digest import row_hashes
from tidemill.dataset.draws import assign, batches, given_splits, mention_shared
from tidemill.dataset.source import Note, Source
from tidemill.domain.dataset import Column, DatasetVersion, Kind
from tidemill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def read_sentences(
    path: Path,
    tables: Mapping[str | None, pa.Table],
    *,
    text: str | None,
    target: str | None,
    kind: Kind | None,
    previous: DatasetVersion | None,
    note: Note,
) -> Source:
    """The texts of `tables`, read from `path`; columns that are neither text nor target are left out."""
    import pyarrow as pa

    table = unite(tables)
    if previous is not None:
        text, target = text or previous.column("text").name, target or previous.column("target").name
        kind = kind or previous.kind
    label = choose(target, TARGETS, table.column_names, option="--target", what="holds the label")
    others = [name for name in table.column_names if name != label]
    source = choose(text, TEXTS, others, option="--text", what="holds the text")
    if left_out := [name for name in others if name != source]:
        note(f"left out: {', '.join(left_out)}")
    kind = decide_kind(table.column(label), kind or "classification")
    if kind == "regression":
        raise DataError(f"{path}: texts are classified, and {label!r} is to be a number", "leave --kind out")
    names = pa.array(_names(tables))
    row_column = "name" if "name" not in (source, label) else "row_name"
    packed = pa.table(
        [names, _as_text(path, source, table.column(source)), as_target(table.column(label), label, kind)],
        names=[row_column, source, label],
    )
    hashes = row_hashes(packed, [source])
    splits = assign(given_splits(tables), hashes)
    mention_shared(splits, hashes, note)
    columns = (
        Column(row_column, "string", "path"),
        Column(source, "string", "text"),
        Column(label, str(packed.schema.field(label).type), "target"),
    )
    return Source(kind, columns, batches(packed, splits), None)


def _names(tables: Mapping[str | None, pa.Table]) -> list[str]:
    """The number of each row in its file, from 1."""
    return [
        f"{split}/{row}" if split else str(row)
        for split, table in tables.items()
        for row in range(1, table.num_rows + 1)
    ]


def _as_text(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        raise DataError(f"{path}: the text column {name!r} holds {column.type}", "name the column with --text COLUMN")
    blank = pc.or_kleene(pc.is_null(column), pc.equal(pc.utf8_trim_whitespace(column), "")).fill_null(True)
    if pc.any(blank).as_py():
        row = pc.index(blank, True).as_py()
        raise DataError(f"{path}: the text column {name!r} is empty in row {row + 1}", "fill it or remove the row")
    return column
