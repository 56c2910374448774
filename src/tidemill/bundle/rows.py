"""Rows and tables to columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.domain.bundle import TableColumn, TabularPreprocessing
from tidemill.errors import InputError, ItemError, nearest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_LARGEST = float(np.finfo(np.float32).max)
_PLAIN = frozenset((float, int))


class Rows:
    """Rows as `preprocessing` declares their columns, quickly where nothing is wrong with them."""

    def __init__(self, preprocessing: TabularPreprocessing) -> None:
        self._preprocessing = preprocessing
        self._names = frozenset(column.name for column in preprocessing.columns)
        numbers = [column for column in preprocessing.columns if column.type != "category"]
        self._numbers = [column.name for column in numbers]
        self._whole = np.array([column.type == "integer" for column in numbers])
        self._known = {c.name: frozenset(c.categories) for c in preprocessing.columns if c.type == "category"}
        limits = [(-np.inf if c.low is None else c.low, np.inf if c.high is None else c.high) for c in numbers]
        self._limits = np.array(limits).T if np.isfinite(limits).any() else None
        self._take = itemgetter(*self._numbers) if len(numbers) > 1 else None

    def prepare(self, inputs: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """As `prepare_rows`."""
        quickly = self._quickly(inputs)
        return prepare_rows(self._preprocessing, inputs) if quickly is None else quickly

    def _quickly(self, inputs: Sequence[Any]) -> dict[str, NDArray[Any]] | None:
        """Whole columns at a time; None where a row needs a closer look: for what is wrong with it, or a gap."""
        names = self._names
        if any(type(row) is not dict or row.keys() != names for row in inputs):
            return None
        prepared: dict[str, NDArray[Any]] = {}
        for name, known in self._known.items():
            texts = [row[name] for row in inputs]
            if not {str}.issuperset(map(type, texts)) or not known.issuperset(texts):
                return None
            column = np.empty((len(texts), 1), np.object_)
            column[:, 0] = texts
            prepared[name] = column
        if self._numbers:
            columns = self._matrix(inputs)
            if columns is None:
                return None
            for name, values in zip(self._numbers, columns, strict=True):
                prepared[name] = values.reshape(-1, 1)
        return prepared

    def _matrix(self, inputs: Sequence[Any]) -> NDArray[np.float32] | None:
        """The columns of numbers, [columns, N], where all are plain, finite numbers in range."""
        take = self._take
        rows = [take(row) for row in inputs] if take else [(row[self._numbers[0]],) for row in inputs]
        for row in rows:
            if not _PLAIN.issuperset(map(type, row)):
                return None
        try:
            values = np.array(rows, np.float64)
        except OverflowError:
            return None
        if not (np.abs(values) <= _LARGEST).all():  # false for NaN, too
            return None
        if self._whole.any() and not (values[:, self._whole] == np.floor(values[:, self._whole])).all():
            return None
        if self._limits is not None and ((values < self._limits[0]) | (values > self._limits[1])).any():
            return None
        return np.ascontiguousarray(values.T, np.float32)


def prepare_rows(preprocessing: TabularPreprocessing, inputs: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """For each column an array [N, 1]: float32, or object of str for a category. Null is NaN, or the empty string.

    Raises ItemError naming the row, from 0, and the column.
    """
    names = [column.name for column in preprocessing.columns]
    for index, row in enumerate(inputs):
        if not isinstance(row, Mapping):
            raise ItemError(index, f"input {index} is {type(row).__name__}, not a row", "send an object of columns")
        if len(row) != len(names) or any(name not in row for name in names):
            problem, remedy = _columns_differ(names, map(str, row))
            raise ItemError(index, f"row {index} {problem}", remedy)
    prepared: dict[str, NDArray[Any]] = {}
    for column in preprocessing.columns:
        values = [row[column.name] for row in inputs]
        prepared[column.name] = _texts(column, values) if column.type == "category" else _numbers(column, values)
    return prepared


def prepare_table(preprocessing: TabularPreprocessing, table: pa.Table) -> dict[str, NDArray[Any]]:
    """What `prepare_rows` gives for the rows of `table`."""
    import pyarrow.types as kinds

    names = [column.name for column in preprocessing.columns]
    if sorted(names) != sorted(table.column_names):
        problem, remedy = _columns_differ(names, table.column_names)
        raise InputError(f"the table {problem}", remedy)
    if not table.num_rows:
        raise InputError("the table has no rows", "give a table with at least one row")
    prepared: dict[str, NDArray[Any]] = {}
    for column in preprocessing.columns:
        values = table.column(column.name)
        if column.type == "category":
            prepared[column.name] = _text_array(column, values)
        elif kinds.is_integer(values.type) or kinds.is_floating(values.type):
            nulls = values.is_null().to_numpy()
            prepared[column.name] = _finite(column, values.cast("float64").to_numpy(), nulls)
        else:  # text, booleans, decimals, dates: rare, so that the way of single rows will do
            prepared[column.name] = _numbers(column, values.to_pylist())
    return prepared


def _columns_differ(names: Sequence[str], given: Iterable[str]) -> tuple[str, str]:
    given = list(given)
    missing = [name for name in names if name not in given]
    unknown = [name for name in given if name not in names]
    parts = []
    if missing:
        parts.append(f"lacks the column{'s' * (len(missing) > 1)} {_list(missing)}")
    if unknown:
        parts.append(f"has the unknown column{'s' * (len(unknown) > 1)} {_list(unknown)}")
    if not parts:
        return "names a column twice", "give each column once"
    remedy = nearest(unknown[0], missing or names, kind="columns") if unknown else f"columns: {_list(names)}"
    return " and ".join(parts), remedy


def _list(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:8]) + (", …" if len(names) > 8 else "")


def _numbers(column: TableColumn, values: Sequence[Any]) -> NDArray[np.float32]:
    plain = np.empty(len(values), np.float64)
    nulls = np.zeros(len(values), np.bool_)
    for index, value in enumerate(values):
        if value is None:
            nulls[index], plain[index] = True, np.nan
        elif isinstance(value, bool | np.bool_ | str | bytes):
            raise _bad(column, index, f"{_show(value)} is not a number", "send a number without quotes")
        else:
            try:
                plain[index] = float(value)
            except (TypeError, ValueError):
                raise _bad(column, index, f"{_show(value)} is not a number", "send a number") from None
            except OverflowError:
                raise _bad(column, index, "this number is too large", "32-bit floats are used") from None
    return _finite(column, plain, nulls)


def _finite(column: TableColumn, values: NDArray[np.float64], nulls: NDArray[np.bool_]) -> NDArray[np.float32]:
    """[N] with nulls as NaN to float32 [N, 1]; the checks that both ways share."""
    if nulls.any() and not column.nullable:
        raise _bad(column, int(nulls.argmax()), "a number is missing", "this column may not be empty")
    bad = ~np.isfinite(values) & ~nulls
    if bad.any():
        index = int(bad.argmax())
        raise _bad(column, index, f"{values[index]} is not a finite number", "NaN and infinity are refused")
    bad = np.abs(values) > _LARGEST
    if bad.any():
        index = int(bad.argmax())
        raise _bad(column, index, f"{values[index]:g} is too large", "32-bit floats are used")
    if column.type == "integer":
        bad = (values != np.floor(values)) & ~nulls
        if bad.any():
            index = int(bad.argmax())
            raise _bad(column, index, f"{values[index]} is not a whole number", "send a whole number")
    _check_range(column, values)
    return values.astype(np.float32).reshape(-1, 1)


def _check_range(column: TableColumn, values: NDArray[np.float64]) -> None:
    """Gaps, which are NaN, are in every range."""
    low, high = column.low, column.high
    bad = np.zeros(len(values), np.bool_)
    if low is not None:
        bad |= values < low
    if high is not None:
        bad |= values > high
    if bad.any():
        index = int(bad.argmax())
        ends = [f"{word} {end:.12g}" for word, end in (("at least", low), ("at most", high)) if end is not None]
        raise _bad(column, index, f"{values[index]:.12g} is out of range", f"it is declared as {' and '.join(ends)}")


def _texts(column: TableColumn, values: Sequence[Any]) -> NDArray[np.object_]:
    """Some tables write a gap as null, others as empty text: a column that may have gaps reads both."""
    known = frozenset(column.categories)
    gaps = column.nullable or "" in known
    texts = np.empty((len(values), 1), np.object_)
    for index, value in enumerate(values):
        text = "" if value is None else _spelled(column, _as_text(value))
        if text is None or (value is None and not gaps):
            problem = "a value is missing" if value is None else f"{_show(value)} is not text"
            raise _bad(column, index, problem, f"known values: {_list(column.categories)}")
        if text not in known and not (text == "" and gaps):
            raise _unknown(column, index, text)
        texts[index, 0] = text
    return texts


def _as_text(value: Any) -> str | None:
    """A category as text, in the form that Arrow gives numbers and booleans too; None for what is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return None


def _spelled(column: TableColumn, text: str | None) -> str | None:
    """'True' and 'FALSE', as others write truth values, in the one form that a column of them knows."""
    if text is not None and set(column.categories) <= {"true", "false"} and text.lower() in column.categories:
        return text.lower()
    return text


def _text_array(column: TableColumn, values: pa.ChunkedArray) -> NDArray[np.object_]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    plain = kinds.is_string(values.type) or kinds.is_large_string(values.type)
    if not plain or "" in column.categories or column.nullable or set(column.categories) <= {"true", "false"}:
        return _texts(column, values.to_pylist())
    nulls = values.is_null().to_numpy()
    if nulls.any() and not column.nullable:
        raise _bad(column, int(nulls.argmax()), "a value is missing", f"known values: {_list(column.categories)}")
    known = pc.is_in(values, value_set=pa.array(column.categories, values.type)).to_numpy()
    bad = ~known & ~nulls
    if bad.any():
        index = int(bad.argmax())
        raise _unknown(column, index, values[index].as_py())
    texts: NDArray[np.object_] = values.fill_null("").to_numpy(zero_copy_only=False).astype(np.object_)
    return texts.reshape(-1, 1)


def _unknown(column: TableColumn, index: int, text: str) -> ItemError:
    return _bad(column, index, f"unknown value {_show(text)}", nearest(text, column.categories, kind="known values"))


def _bad(column: TableColumn, index: int, problem: str, remedy: str) -> ItemError:
    return ItemError(index, f"row {index}, column {column.name!r}: {problem}", remedy)


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
