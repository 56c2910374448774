"""The months of real taxi trips, which change types and a surcharge's scale; needs the data, so it runs where it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tidemill.dataset.checks.finding import Inspection, Policy, Report
from tidemill.domain.dataset import DatasetVersion
from tidemill.errors import DataError
from tidemill.stages.ingest import Reading, ingest

MONTHS = ("2020-03", "2020-05", "2020-12", "2021-01", "2021-05", "2022-02", "2023-01", "2023-02", "2024-03")


@pytest.fixture(scope="module")
def months() -> Path:
    folder = Path(os.environ.get("TIDEMILL_DATA", "")) / "taxi_green"
    if not os.environ.get("TIDEMILL_DATA") or not folder.is_dir():
        pytest.skip("TIDEMILL_DATA names no folder with taxi_green")
    return folder


def add(
    file: Path, into: Path, previous: DatasetVersion | None, inspection: Inspection
) -> tuple[DatasetVersion, Report]:
    into.mkdir()
    packed = ingest(
        file, into, name="green", version="1.0.0", task="tabular", previous=previous, inspection=inspection,
        reading=Reading(None if previous else "fare_amount"), note=lambda _: None, progress=lambda *_: None,
    )  # fmt: skip
    return packed.version, inspection.report()


@pytest.mark.slow
def test_the_months_in_turn(months: Path, tmp_path: Path) -> None:
    previous, before = None, Inspection()
    said: dict[str, dict[str, dict[str, str]]] = {}
    for month in MONTHS:
        inspection = Inspection(before=before.columns)
        file = months / f"green_tripdata_{month}.parquet"
        version, report = add(file, tmp_path / month, previous, inspection)
        assert previous is None or version.columns == previous.columns
        said[month] = {each.check: dict(each.details["columns"]) for each in report.findings}
        previous, before = version, inspection
    empty = {"ehail_fee": "is empty, was double"}
    narrow = {"VendorID": "is int32, was int64", "RatecodeID": "is int64, was double",
              "PULocationID": "is int32, was int64", "DOLocationID": "is int32, was int64",
              "passenger_count": "is int64, was double", "payment_type": "is int64, was double",
              "trip_type": "is int64, was double"}  # fmt: skip
    assert said == {
        "2020-03": {}, "2020-05": {}, "2020-12": {},
        "2021-01": {"converted": empty}, "2021-05": {"converted": empty}, "2022-02": {"converted": empty},
        "2023-01": {"converted": empty, "scale": {"improvement_surcharge": "was usually 0.3, is usually 1"}},
        "2023-02": {"converted": narrow}, "2024-03": {"converted": narrow},
    }  # fmt: skip


@pytest.mark.slow
def test_dates_that_came_as_text_are_the_same_month_again(months: Path, tmp_path: Path) -> None:
    first, _ = add(months / "green_tripdata_2020-06.parquet", tmp_path / "first", None, Inspection())
    variant = months / "schema_variant" / "green_tripdata_2020-06_string_dates.parquet"
    with pytest.raises(DataError, match="'lpep_pickup_datetime' is string, was timestamp"):
        add(variant, tmp_path / "stopped", first, Inspection())
    again, _ = add(variant, tmp_path / "again", first, Inspection(Policy(schema="convert")))
    assert again.digest == first.digest
