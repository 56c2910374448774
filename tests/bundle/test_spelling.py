"""One meaning in every form: truth values and gaps in CSV, Parquet and JSON."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tidemill.bundle.rows import prepare_rows, prepare_table
from tidemill.domain.bundle import TableColumn, TabularPreprocessing
from tidemill.errors import InputError

TRUTH = TabularPreprocessing((TableColumn("smokes", "category", ("false", "true")),))


@pytest.mark.parametrize("values", [[True, False], ["True", "FALSE"], ["true", "false"]])
def test_truth_values_are_read_however_they_are_written(values: list[object]) -> None:
    expected = [["true"], ["false"]]
    assert prepare_rows(TRUTH, [{"smokes": value} for value in values])["smokes"].tolist() == expected
    assert prepare_table(TRUTH, pa.table({"smokes": values}))["smokes"].tolist() == expected


@pytest.mark.parametrize(
    "column",
    [TableColumn("town", "category", ("", "Bonn")), TableColumn("town", "category", ("Bonn",), nullable=True)],
    ids=["trained on CSV", "trained on Parquet"],
)
@pytest.mark.parametrize("gap", [None, ""])
def test_a_gap_is_a_gap(column: TableColumn, gap: str | None) -> None:
    preprocessing = TabularPreprocessing((column,))
    rows = [{"town": gap}, {"town": "Bonn"}]
    assert prepare_rows(preprocessing, rows)["town"].tolist() == [[""], ["Bonn"]]
    assert prepare_table(preprocessing, pa.Table.from_pylist(rows))["town"].tolist() == [[""], ["Bonn"]]


@pytest.mark.parametrize("value", [None, "", "Köln", [1]])
def test_a_column_without_gaps_refuses_them(value: object) -> None:
    preprocessing = TabularPreprocessing((TableColumn("town", "category", ("Bonn",)),))
    with pytest.raises(InputError, match="row 0, column 'town'"):
        prepare_rows(preprocessing, [{"town": value}])
