"""Rows and tables to columns: one by one and whole columns at a time, with the same answers and the same refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.bundle.preprocess import Preprocessor
from tidemill.domain.bundle import TableColumn, TabularPreprocessing
from tidemill.errors import InputError, ItemError

PREPROCESSOR = Preprocessor(
    TabularPreprocessing(
        (
            TableColumn("age", "float"),
            TableColumn("number", "integer"),
            TableColumn("colour", "category", ("red", "green", "1", "true")),
            TableColumn("weight", "float", (), nullable=True),
            TableColumn("shape", "category", ("round",), nullable=True),
            TableColumn("share", "float", (), nullable=True, low=0, high=1),
        )
    )
)
ROW: dict[str, Any] = {"age": 1.5, "number": 3, "colour": "red", "weight": None, "shape": "round", "share": 0.5}


def test_columns_are_float32_or_text() -> None:
    feed = PREPROCESSOR.prepare([ROW, ROW | {"weight": 2, "shape": None, "number": 4.0}])
    assert {name: (array.dtype.type, array.shape) for name, array in feed.items()} == {
        "age": (np.float32, (2, 1)),
        "number": (np.float32, (2, 1)),
        "colour": (np.object_, (2, 1)),
        "weight": (np.float32, (2, 1)),
        "shape": (np.object_, (2, 1)),
        "share": (np.float32, (2, 1)),
    }
    assert feed["number"].ravel().tolist() == [3, 4]
    assert np.isnan(feed["weight"][0, 0]) and feed["weight"][1, 0] == 2
    assert feed["shape"].ravel().tolist() == ["round", ""]


@pytest.mark.parametrize(("given_", "text"), [(1, "1"), (1.0, "1"), (True, "true"), ("green", "green")])
def test_numbers_and_booleans_name_a_category_as_arrow_writes_them(given_: Any, text: str) -> None:
    assert PREPROCESSOR.prepare([ROW | {"colour": given_}])["colour"][0, 0] == text
    table = pa.Table.from_pylist([ROW | {"colour": given_}])
    if not isinstance(given_, float):
        assert PREPROCESSOR.prepare_table(table)["colour"][0, 0] == text


BAD: list[tuple[dict[str, Any], str]] = [
    ({"age": "1.5"}, "is not a number"),
    ({"age": "abc"}, "is not a number"),
    ({"age": True}, "is not a number"),
    ({"age": None}, "is missing"),
    ({"age": float("nan")}, "not a finite number"),
    ({"age": float("-inf")}, "not a finite number"),
    ({"age": 1e39}, "too large"),
    ({"age": 10**400}, "too large"),
    ({"age": [1]}, "is not a number"),
    ({"number": 1.5}, "not a whole number"),
    ({"weight": float("nan")}, "not a finite number"),
    ({"share": -0.1}, "-0.1 is out of range"),
    ({"share": 1.0001}, "1.0001 is out of range"),
    ({"colour": "rde"}, "unknown value 'rde'"),
    ({"colour": None}, "is missing"),
    ({"colour": 1.5}, "is not text"),
    ({"colour": ["red"]}, "is not text"),
]


@pytest.mark.parametrize(("change", "problem"), BAD)
def test_a_bad_value_is_named_by_row_and_column(change: dict[str, Any], problem: str) -> None:
    (column,) = change
    with pytest.raises(ItemError, match=problem) as refused:
        PREPROCESSOR.prepare([ROW, ROW, ROW | change, ROW | change])
    assert refused.value.index == 2
    assert f"row 2, column {column!r}" in refused.value.headline


@pytest.mark.parametrize(
    ("change", "problem"),
    [(change, problem) for change, problem in BAD
     if not isinstance(next(iter(change.values())), list) and change not in ({"age": 10**400}, {"colour": 1.5})],
)  # fmt: skip
def test_a_table_is_refused_for_the_same_values(change: dict[str, Any], problem: str) -> None:
    (column,) = change
    rows = [ROW, ROW, ROW | change]
    if isinstance(change[column], str | bool) and column != "colour":
        rows = [ROW | change] * 3  # a column of a table has one type
    with pytest.raises(ItemError, match=problem) as refused:
        PREPROCESSOR.prepare_table(pa.Table.from_pylist(rows))
    assert column in refused.value.headline


def test_both_ends_of_a_range_and_a_gap_are_in_it() -> None:
    rows = [ROW | {"weight": 1, "share": share} for share in (0, 1, None)]
    assert PREPROCESSOR.prepare(rows[:2])["share"].ravel().tolist() == [0, 1]
    assert np.isnan(PREPROCESSOR.prepare(rows)["share"][2, 0])
    with pytest.raises(ItemError) as refused:
        PREPROCESSOR.prepare([ROW | {"share": 2}])
    assert refused.value.remedy == "it is declared as at least 0 and at most 1"


def test_the_nearest_value_and_column_are_offered() -> None:
    with pytest.raises(ItemError) as refused:
        PREPROCESSOR.prepare([ROW | {"colour": "gren"}])
    assert "green" in refused.value.remedy
    with pytest.raises(ItemError, match=r"lacks the column 'age' and has the unknown column 'aeg'") as refused:
        PREPROCESSOR.prepare([{("aeg" if name == "age" else name): value for name, value in ROW.items()}])
    assert "age" in refused.value.remedy


@pytest.mark.parametrize("row", [{}, {"age": 1.0}, ROW | {"extra": 1}, [1, 2], "text", None, b"bytes"])
def test_other_columns_and_other_things_are_refused(row: Any) -> None:
    with pytest.raises(ItemError) as refused:
        PREPROCESSOR.prepare([ROW, row])
    assert refused.value.index == 1


def test_a_table_with_other_columns_is_refused() -> None:
    table = pa.Table.from_pylist([ROW])
    for other in (table.drop_columns(["age"]), table.append_column("more", [[1]]), table.slice(0, 0)):
        with pytest.raises(InputError):
            PREPROCESSOR.prepare_table(other)
    with pytest.raises(InputError, match="twice"):
        PREPROCESSOR.prepare_table(table.append_column("age", [[1.0]]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "age": st.floats(-1e30, 1e30),
                "number": st.integers(-(2**40), 2**40),
                "colour": st.sampled_from(["red", "green", "1", "true"]),
                "weight": st.none() | st.floats(-1e3, 1e3),
                "shape": st.none() | st.just("round"),
                "share": st.none() | st.floats(0, 1),
            }
        ),
        min_size=1,
        max_size=20,
    )
)
def test_rows_and_tables_give_the_same_arrays(rows: list[dict[str, Any]]) -> None:
    numbers, texts = (
        dict.fromkeys(("age", "weight", "share"), pa.float64()),
        dict.fromkeys(("colour", "shape"), pa.string()),
    )
    schema = pa.schema(numbers | texts | {"number": pa.int64()})
    one, whole = PREPROCESSOR.prepare(rows), PREPROCESSOR.prepare_table(pa.Table.from_pylist(rows, schema))
    for name, array in one.items():
        np.testing.assert_array_equal(array, whole[name])
        assert array.dtype == whole[name].dtype
