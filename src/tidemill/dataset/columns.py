"""What the columns of a table mean: which one is predicted, as what, and from which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tidemill.domain.dataset import Kind
from tidemill.errors import DataError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

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


def unite(tables: Mapping[str | None, pa.Table]) -> pa.Table:
    """The tables of all splits one below the other, columns as in the first. Raises DataError when they differ."""
    import pyarrow as pa

    (first, names), *rest = [(split, table.column_names) for split, table in tables.items()]
    for split, other in rest:
        check_names(set(names), set(other), f"the {split} table", f"the {first} table")
    columns = []
    for name in names:
        parts = [table.column(name) for table in tables.values()]
        common = _common_type([part.type for part in parts], name)
        columns.append(pa.chunked_array([chunk for part in parts for chunk in part.cast(common).chunks], common))
    return pa.table(columns, names=names)


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


def decide_kind(target: pa.ChunkedArray, given: Kind | None) -> Kind:
    """Classification or regression, from the target's type and how many different values it has.

    Floats are measured; whole numbers are counted when there are more than 100 different ones, or more than 20 that
    are also more than 5 % of the rows. Everything else is a class.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if given is not None:
        return given
    if pa.types.is_floating(target.type):
        return "regression"
    if pa.types.is_integer(target.type):
        distinct = pc.count_distinct(target).as_py()
        return "regression" if distinct > 100 or (distinct > 20 and distinct > 0.05 * len(target)) else "classification"
    return "classification"


def as_target(target: pa.ChunkedArray, name: str, kind: Kind) -> pa.ChunkedArray:
    """The target as it is packed: float64 for regression, strings for classes (the whole number 3 is '3').

    Raises DataError for a missing value, for one class only, and for a column that cannot be what `kind` says.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = pc.is_null(target)
    if pa.types.is_string(target.type):
        missing = pc.or_kleene(missing, pc.equal(pc.utf8_trim_whitespace(target), "")).fill_null(True)
    if pc.any(missing).as_py():
        row, others = pc.index(missing, True).as_py(), pc.sum(missing).as_py() - 1
        raise DataError(
            f"the target column {name!r} has no value in row {row + 1}" + (f" (and {others} more)" if others else ""),
            "fill it, or remove those rows",
        )
    if kind == "regression":
        if not is_number(target.type):
            raise DataError(
                f"the target column {name!r} holds {target.type}, which is no number", "use --kind classification"
            )
        return target.cast(pa.float64())
    return _as_classes(target, name)


def _as_classes(target: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pa.types.is_floating(target.type) and pc.all(pc.equal(pc.round(target), target)).as_py()
    labels = (target.cast(pa.int64()) if whole else target).cast(pa.string())
    distinct = pc.count_distinct(labels).as_py()
    if distinct < 2:
        raise DataError(
            f"the target column {name!r} has only one class, {labels[0].as_py()!r}", "a classifier needs two"
        )
    if distinct > 20 and distinct * 2 > len(labels):
        raise DataError(
            f"the target column {name!r} has {distinct} different values in {len(labels)} rows: those are no classes",
            "name another with --target, or say --kind regression",
        )
    return labels
