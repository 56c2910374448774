"""What the columns of a table mean: which one is predicted, as what, and from which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.checks.finding import EXAMPLES, Inspection
from tidemill.dataset.facts import ColumnFacts, missing
from tidemill.dataset.tables import Table, bad_rows
from tidemill.domain.dataset import Kind
from tidemill.errors import DataError, nearest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

TARGETS = ("target", "label", "class", "y", "labels", "category")
TEXTS = ("text", "sentence", "review", "content", "comment", "message", "question", "document")


def choose(given: str | None, guesses: Sequence[str], names: Sequence[str], *, option: str, what: str) -> str:
    """The column `given`, or the first of `guesses` there is (in any case). Raises DataError when there is neither."""
    if given is not None:
        if given not in names:
            raise DataError(f"there is no column {given!r} for {option}", nearest(given, names, kind="columns"))
        return given
    by_lower = {name.lower(): name for name in reversed(names)}
    for guess in guesses:
        if guess in by_lower:
            return by_lower[guess]
    raise DataError(
        f"which column {what} is not clear from the names", f"say it with {option} COLUMN; columns: {', '.join(names)}"
    )


def unite(tables: Mapping[str | None, Table]) -> pa.Schema:
    """The columns of all splits' tables, as in the first, in types that hold all. Raises DataError when they differ."""
    import pyarrow as pa

    (first, schema), *rest = [(split, table.schema) for split, table in tables.items()]
    for split, other in rest:
        check_names(set(schema.names), set(other.names), f"the {split} table", f"the {first} table")
    types = [_common_type([table.schema.field(name).type for table in tables.values()], name) for name in schema.names]
    return pa.schema(list(zip(schema.names, types, strict=True)))


def examine(
    tables: Mapping[str | None, Table], schema: pa.Schema, wanted: Mapping[str, pa.DataType] | None = None
) -> dict[str, ColumnFacts]:
    """What is known of each column of `schema` after reading all tables; `wanted` are types that may fit."""
    facts = {field.name: ColumnFacts(field.type, (wanted or {}).get(field.name)) for field in schema}
    for batch in stream(tables, schema):
        for name, each in facts.items():
            each.look(batch.column(name))
    return facts


def stream(tables: Mapping[str | None, Table], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of all tables, one after the other, with the columns of `schema`."""
    for table in tables.values():
        for batch in table.read():
            chosen = batch.select(schema.names)
            yield chosen if chosen.schema == schema else chosen.cast(schema)


def check_names(known: set[str], found: set[str], here: str, there: str, hint: str = "") -> None:
    """Raises DataError that names the columns which one side has and the other has not."""
    if known == found:
        return
    parts = []
    if known - found:
        parts.append(f"lacks {_quoted(known - found)}")
    if found - known:
        parts.append(f"has {_quoted(found - known)} in addition")
    raise DataError(
        f"{here} has other columns than {there}: it {' and '.join(parts)}", hint or "give all the same columns"
    )


def _quoted(names: set[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))


def _common_type(kinds: Sequence[pa.DataType], name: str) -> pa.DataType:
    import pyarrow as pa

    distinct = {kind for kind in kinds if not pa.types.is_null(kind)}
    if len(distinct) <= 1:
        return next(iter(distinct), kinds[0])
    if all(is_number(kind) for kind in distinct):
        return pa.int64() if all(pa.types.is_integer(kind) for kind in distinct) else pa.float64()
    if all(is_number(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind) for kind in distinct):
        return pa.string()
    shown = ", ".join(sorted(str(kind) for kind in distinct))
    raise DataError(f"column {name!r} has another type in each split: {shown}", "give all splits the same types")


def is_number(kind: pa.DataType) -> bool:
    """Whether cells of this type are numbers (booleans are not)."""
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def decide_kind(target: ColumnFacts, given: Kind | None) -> Kind:
    """Classification or regression, from the target's type and how many different values it has.

    Floats are measured; whole numbers are counted when there are more than 100 different ones, or more than 20 that
    are also more than 5 % of the rows. Everything else is a class.
    """
    import pyarrow as pa

    if given is not None:
        return given
    if pa.types.is_floating(target.type):
        return "regression"
    if pa.types.is_integer(target.type):
        distinct = target.distinct
        return "regression" if distinct > 100 or (distinct > 20 and distinct > 0.05 * target.rows) else "classification"
    return "classification"


def target_casts(target: ColumnFacts, name: str, kind: Kind) -> tuple[pa.DataType, ...]:
    """The casts that make the target what is packed: float64 for regression, strings for classes (3.0 is '3').

    Raises DataError for one class only, and for a column that cannot be what `kind` says.
    """
    import pyarrow as pa

    if kind == "regression":
        if not is_number(target.type):
            raise DataError(
                f"the target column {name!r} holds {target.type}, which is no number", "use --kind classification"
            )
        return (pa.float64(),)
    _check_classes(target, name)
    whole = pa.types.is_floating(target.type) and target.whole
    return (pa.int64(), pa.string()) if whole else (pa.string(),)


def unfilled(
    tables: Mapping[str | None, Table], schema: pa.Schema, wanted: Mapping[str, str], inspection: Inspection
) -> NDArray[np.int64]:
    """The rows to leave out, as numbered from 0 through all tables: those with bad cells, and those without a value in
    the columns `wanted`, whose names are mapped to what they are. Of the latter `inspection` hears."""
    import pyarrow as pa

    bad = bad_rows(tables.values())
    examples: list[str] = []
    empty: list[str] = []
    found, start = [bad], 0
    known = set(bad.tolist())
    for split, table in tables.items():
        row = 0
        for batch in stream({split: table}, pa.schema([schema.field(name) for name in wanted])):
            for name, what in wanted.items():
                at = np.flatnonzero(missing(batch.column(name)).to_numpy(zero_copy_only=False)) + row
                at = at[[number + start not in known for number in at.tolist()]]
                known.update((at + start).tolist())
                found.append(at + start)
                place = f" of {split}" if len(tables) > 1 else ""
                empty += [f"the {what} column {name!r}"] if len(at) else []
                examples += [f"row {number + 1:,}{place}: {name}" for number in at[: EXAMPLES - len(examples)].tolist()]
            row += batch.num_rows
        start += table.rows
    count = len(known) - len(bad)
    if count:
        which = " and ".join(dict.fromkeys(empty)) + (" has" if len(set(empty)) == 1 else " have")
        place = examples[0].partition(":")[0] if count == 1 else f"{count:,} rows"
        inspection.add(
            "no_value", count, f"{which} no value in {place}",
            "fill it, or leave the rows out:  --on-problem leave-out", examples=examples,
        )  # fmt: skip
    return np.concatenate(found)


def _check_classes(target: ColumnFacts, name: str) -> None:
    if target.distinct < 2:
        raise DataError(f"the target column {name!r} has only one class, {target.first!r}", "a classifier needs two")
    if target.distinct > 20 and target.distinct * 2 > target.counted:
        raise DataError(
            f"the target column {name!r} has {target.distinct} different values in {target.counted} rows: "
            "those are no classes",
            "name another with --target, or say --kind regression",
        )
