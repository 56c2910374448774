"""Checks of a table's rows: declared ranges, constant columns, equal rows in two splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.dataset.checks.finding import Finding, Inspection, Policy
from tidemill.dataset.read import PackedDataset, open_dataset
from tidemill.errors import ConfigError, DataError
from tidemill.stages.ingest import Reading, ingest

from .conftest import trips

Ranges = dict[str, tuple[Any, Any]]


def add(table: pa.Table | dict[str, pa.Table], tmp_path: Path, inspection: Inspection) -> PackedDataset:
    place = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
    if isinstance(table, dict):
        place = place.with_suffix(".folder")
        place.mkdir()
        for split, part in table.items():
            pq.write_table(part, place / f"{split}.parquet")
    else:
        pq.write_table(table, place)
    into = place.with_suffix("")
    into.mkdir()
    ingest(
        place, into, name="trips", version="1.0.0", task="tabular", reading=Reading("fare"), previous=None,
        note=lambda _: None, progress=lambda *_: None, inspection=inspection,
    )  # fmt: skip
    return open_dataset(into)


def findings(inspection: Inspection) -> dict[str, Finding]:
    return {each.check: each for each in inspection.report().findings}


def spoilt() -> pa.Table:
    table = trips()
    distance = table["distance"].to_pylist()
    distance[10], distance[20], distance[30] = -1.0, 244_152.0, None
    return table.set_column(table.column_names.index("distance"), "distance", pa.array(distance))


def test_impossible_values_stop_with_the_rows_that_hold_them(tmp_path: Path) -> None:
    inspection = Inspection(Policy(ranges={"distance": (0, 200), "fare": (None, 1e9)}))
    with pytest.raises(DataError, match="2 rows hold impossible values: distance outside of 0 to 200 in 2"):
        add(spoilt(), tmp_path, inspection)
    assert sorted(findings(inspection)["impossible"].examples) == [
        "row 11: distance = -1.0",
        "row 21: distance = 244152.0",
    ]


def test_left_out_only_those_rows_are_missing(tmp_path: Path) -> None:
    policy = Policy({"impossible": "leave-out"}, ranges={"distance": (0, 200)})
    inspection = Inspection(policy)
    data = add(spoilt(), tmp_path, inspection)
    assert data.version.rows == 598
    every = [value for split in data.version.splits for value in data.table(split.name)["distance"].to_pylist()]
    assert None in every and not {-1.0, 244_152.0} & set(every)
    assert findings(inspection)["impossible"].count == 2


def test_dates_have_ranges_too(tmp_path: Path) -> None:
    inspection = Inspection(Policy({"impossible": "note"}, ranges={"pickup": ("2020-02-01", "2020-02-15")}))
    data = add(trips(), tmp_path, inspection)
    assert data.version.rows == 600
    assert 200 < findings(inspection)["impossible"].count < 400


@pytest.mark.parametrize(
    ("ranges", "headline"),
    [
        ({"distanse": (0, 1)}, "there is no column 'distanse'"),
        ({"flag": (0, 1)}, "'flag' holds string, which has no range"),
        ({"distance": (5, 1)}, "5 is above 1"),
        ({"distance": ("near", "far")}, "'near' is not a number"),
        ({"pickup": ("yesterday", None)}, "'yesterday' is not a date"),
    ],
)
def test_a_range_that_makes_no_sense_is_an_error(tmp_path: Path, ranges: Ranges, headline: str) -> None:
    with pytest.raises(ConfigError, match=headline):
        add(trips(), tmp_path, Inspection(Policy(ranges=ranges)))


def test_columns_of_one_value_are_named(tmp_path: Path) -> None:
    table = trips().append_column("city", pa.array(["NYC"] * 600)).append_column("zero", pa.array([0.0] * 600))
    inspection = Inspection()
    add(table, tmp_path, inspection)
    assert findings(inspection)["constant"].details["columns"] == {"city": "NYC", "zero": "0"}


def test_equal_rows_in_two_splits_are_counted_and_may_be_left_out(tmp_path: Path) -> None:
    table = trips()
    splits = {"train": table.slice(0, 500), "val": table.slice(450, 80), "test": table.slice(520, 80)}
    inspection = Inspection()
    assert add(splits, tmp_path, inspection).version.split("train").rows == 500
    assert findings(inspection)["equal_rows"].headline == "50 of 80 val rows (62.5%) are in train, too"
    left = add(splits, tmp_path, Inspection(Policy({"equal_rows": "leave-out"})))
    assert left.version.split("train").rows == 450


def test_the_profile_is_of_all_rows(tmp_path: Path) -> None:
    inspection = Inspection()
    table = trips(70_000)
    add(table, tmp_path, inspection)
    profile = inspection.columns["distance"]
    values = table["distance"].to_numpy()
    assert (profile.rows, profile.nulls) == (70_000, 0)
    assert profile.mean == pytest.approx(values.mean()) and profile.sd == pytest.approx(values.std())
    assert (profile.low, profile.high) == (values.min(), values.max())
    assert profile.quantiles[3] == pytest.approx(
        float(pa.compute.quantile(table["distance"], 0.5)[0].as_py()), rel=0.05
    )
    assert inspection.columns["fee"].nulls == 70_000
    assert inspection.columns["flag"].top.keys() == {"N", "Y"}
