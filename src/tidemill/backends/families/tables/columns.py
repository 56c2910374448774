"""Columns of a data version as preprocessing and as the inputs of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tidemill.config.ranges import ends_of
from tidemill.domain.bundle import TableColumn, TabularPreprocessing, Tensor
from tidemill.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.dataset import Column

    Ranges = Mapping[str, tuple[float | None, float | None]]
    """The lowest and the highest value of columns, by name; None: no limit."""

MOST_CATEGORIES = 500
_FLOATS = ("float", "double", "halffloat", "decimal")
_INTEGERS = ("int", "uint", "bool")
_NUMBERS = (*_FLOATS, "int", "uint")


def declared(config: Config) -> Ranges:
    """What the data set's `checks.ranges` say of numbers, where rows outside of them are kept out."""
    checks = config.data.checks
    if checks.impossible == "note":
        return {}
    found = {}
    for name, given in checks.ranges.items():
        ends = ends_of(config.data.name, name, given)
        low, high = (_number(end) for end in ends)
        found[name] = low, high
    return found


def _number(end: Any) -> float | None:
    """The end of a range, if it is a number: dates are none."""
    try:
        return None if end is None else float(end)
    except ValueError:
        return None


def preprocessing(data: PackedDataset, ranges: Ranges) -> TabularPreprocessing:
    """The feature columns. Text becomes a category of all values of any split, of which training may lack some.

    Raises DataError for a column with too many categories, and for a table without features.
    """
    import pyarrow as pa

    names = [column.name for column in data.version.features]
    if not names:
        raise DataError(f"{data.version.tag} has no feature columns", "add a table with more than the target")
    splits = [split.name for split in data.version.splits if split.rows]
    whole = pa.concat_tables([data.table(split, names) for split in splits])
    return TabularPreprocessing(
        tuple(
            _column(column, whole.column(column.name), ranges.get(column.name, (None, None)))
            for column in data.version.features
        )
    )


def _column(column: Column, values: Any, ends: tuple[float | None, float | None]) -> TableColumn:
    nullable = values.null_count > 0
    if ends != (None, None) and column.type.startswith(_NUMBERS):
        _check_declared(column.name, values, *ends)
    if column.type.startswith(_FLOATS):
        return TableColumn(column.name, "float", (), nullable, *ends)
    if column.type.startswith(_INTEGERS) and column.type != "bool":
        return TableColumn(column.name, "integer", (), nullable, *ends)
    texts = sorted({_text(value) for value in values.unique().to_pylist() if value is not None})
    if len(texts) > MOST_CATEGORIES:
        raise DataError(
            f"the column {column.name!r} has {len(texts)} different values; {MOST_CATEGORIES} can be categories",
            f"leave {column.name!r} out of the table, or group its values",
        )
    return TableColumn(column.name, "category", tuple(texts), nullable)


def _check_declared(name: str, values: Any, low: float | None, high: float | None) -> None:
    """A range that was declared after the data set had been packed may not hold for it."""
    import pyarrow.compute as pc

    found = pc.min_max(values).as_py()
    least, most = found["min"], found["max"]
    if least is not None and ((low is not None and least < low) or (high is not None and most > high)):
        raise DataError(
            f"the column {name!r} has values from {least} to {most}, and checks.ranges declares [{low}, {high}]",
            "add the data set again, so that these rows are kept out, or declare another range",
        )


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def inputs(prepared: TabularPreprocessing) -> list[Tensor]:
    """One input [N, 1] a column."""
    return [Tensor(each.name, "str" if each.type == "category" else "float32", (-1, 1)) for each in prepared.columns]


def frame(prepared: TabularPreprocessing, feed: Any) -> pd.DataFrame:
    """The feed as the data frame that scikit-learn's ColumnTransformer reads by name: float32 and object columns."""
    return pd.DataFrame({each.name: np.asarray(feed[each.name]).reshape(-1) for each in prepared.columns}, copy=False)


def numbers(prepared: TabularPreprocessing) -> list[str]:
    """The columns that hold numbers."""
    return [each.name for each in prepared.columns if each.type != "category"]


def categories(prepared: TabularPreprocessing) -> tuple[list[str], list[NDArray[np.object_]]]:
    """The columns that hold categories, and the values each may have: the empty text where it may be null."""
    chosen = [each for each in prepared.columns if each.type == "category"]
    values = [np.array([*([""] if each.nullable else []), *each.categories], dtype=object) for each in chosen]
    return [each.name for each in chosen], values


def targets(data: PackedDataset, split: str, labels: Sequence[str]) -> NDArray[Any]:
    """int64 positions in `labels`, or float64 values for regression; [N], in the order of the split's table."""
    column = data.table(split, [data.version.column("target").name]).column(0)
    if data.version.kind == "regression":
        values: NDArray[Any] = column.to_numpy().astype(np.float64)
        return values
    position = {label: number for number, label in enumerate(labels)}
    return np.fromiter((position[label] for label in column.to_pylist()), np.int64, column.length())
