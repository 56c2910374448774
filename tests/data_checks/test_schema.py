"""A table that comes again with other columns: each change named, and done or stopped as was chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tidemill.dataset.checks.finding import Finding, Inspection, Policy, SchemaChoice
from tidemill.dataset.read import PackedDataset, open_dataset
from tidemill.domain.dataset import DatasetVersion
from tidemill.errors import DataError
from tidemill.stages.ingest import Reading, ingest

from .conftest import cast, trips

Change = Callable[[pa.Table], pa.Table]


def add(
    table: pa.Table, tmp_path: Path, previous: DatasetVersion | None = None, inspection: Inspection | None = None
) -> PackedDataset:
    file = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
    pq.write_table(table, file)
    into = file.with_suffix("")
    into.mkdir()
    ingest(
        file, into, name="trips", version="1.0.0", task="tabular", reading=Reading(None if previous else "fare"),
        previous=previous, note=lambda _: None, progress=lambda *_: None, inspection=inspection,
    )  # fmt: skip
    return open_dataset(into)


def types(data: PackedDataset) -> dict[str, str]:
    return {column.name: column.type for column in data.version.columns}


def finding(inspection: Inspection, check: str) -> Finding:
    (found,) = (each for each in inspection.report().findings if each.check == check)
    return found


def _narrow(table: pa.Table) -> pa.Table:
    return cast(table, vendor=pa.int32(), passengers=pa.int64(), flag=pa.large_string()).set_column(
        6, "fee", pa.nulls(len(table))
    )


def _nanoseconds(table: pa.Table) -> pa.Table:
    return cast(table, pickup=pa.timestamp("ns"))


def _coded(table: pa.Table) -> pa.Table:
    at = table.column_names.index("flag")
    return table.set_column(at, "flag", pc.dictionary_encode(table["flag"]))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            _narrow,
            {"vendor": "is int32, was int64", "passengers": "is int64, was double", "fee": "is empty, was double"},
        ),
        (_nanoseconds, {"pickup": "is timestamp[ns], was timestamp[us]"}),
        (_coded, {}),
    ],
)
def test_what_loses_nothing_is_converted_and_named(tmp_path: Path, change: Change, named: dict[str, str]) -> None:
    first = add(trips(), tmp_path)
    inspection = Inspection()
    second = add(change(trips()), tmp_path, first.version, inspection)
    assert types(second) == types(first)
    assert second.version.digest == first.version.digest
    assert (dict(finding(inspection, "converted").details["columns"]) if named else {}) == named


def test_fractions_in_a_column_of_whole_numbers_widen_it(tmp_path: Path) -> None:
    first = add(trips(), tmp_path)
    table = trips()
    table = table.set_column(0, "vendor", pc.add(table["vendor"].cast(pa.float64()), 0.5))
    inspection = Inspection()
    assert types(add(table, tmp_path, first.version, inspection))["vendor"] == "double"
    assert "it becomes double" in finding(inspection, "converted").examples[0]


def _strings(table: pa.Table) -> pa.Table:
    return cast(table, pickup=pa.string())


def _lower(table: pa.Table) -> pa.Table:
    return table.rename_columns([name.upper() if name == "distance" else name for name in table.column_names])


def _without(table: pa.Table) -> pa.Table:
    return table.drop_columns(["distance", "flag"]).append_column("tip", table["fare"])


STOPS: list[tuple[Change, dict[str, str]]] = [
    (_strings, {"pickup": "is string, was timestamp[us], which can be converted"}),
    (_lower, {"distance": "is called DISTANCE here"}),
    (
        _without,
        {"flag": "is missing (it was string)", "distance": "is missing (it was double)", "tip": "is new (double)"},
    ),
]


@pytest.mark.parametrize(("change", "named"), STOPS)
def test_what_needs_a_decision_stops_and_names_every_column(
    tmp_path: Path, change: Change, named: dict[str, str]
) -> None:
    first = add(trips(), tmp_path)
    inspection = Inspection()
    with pytest.raises(DataError, match=r"has other columns than trips-v1\.0\.0"):
        add(change(trips(seed=1)), tmp_path, first.version, inspection)
    found = finding(inspection, "schema")
    assert dict(found.details["columns"]) == named
    assert "--schema convert" in found.remedy


@pytest.mark.parametrize("change", [change for change, _ in STOPS])
def test_convert_gives_the_columns_of_before(tmp_path: Path, change: Change) -> None:
    first = add(trips(), tmp_path)
    inspection = Inspection(Policy(schema="convert"))
    second = add(change(trips()), tmp_path, first.version, inspection)
    assert types(second) == types(first)
    if change is not _without:
        assert second.version.digest == first.version.digest
    else:
        assert second.table("train", ["distance"])["distance"].null_count == second.version.split("train").rows
        assert finding(inspection, "converted").details["columns"]["tip"] == "is new (double), and left out"


def test_new_takes_the_columns_as_they_are(tmp_path: Path) -> None:
    first = add(trips(), tmp_path)
    second = add(_without(trips()), tmp_path, first.version, Inspection(Policy(schema="new")))
    assert types(second).keys() == {"vendor", "pickup", "passengers", "surcharge", "fee", "fare", "tip"}


@pytest.mark.parametrize("choice", ["stop", "convert"])
def test_words_in_a_column_of_numbers_are_never_converted(tmp_path: Path, choice: SchemaChoice) -> None:
    first = add(trips(), tmp_path)
    table = cast(trips(), distance=pa.string())
    words = pc.if_else(pc.equal(table["distance"], table["distance"][3]), "far", table["distance"])
    table = table.set_column(table.column_names.index("distance"), "distance", words)
    with pytest.raises(DataError, match=r"column 'distance' holds numbers in trips-v1.0.0, but row 4 holds 'far'"):
        add(table, tmp_path, first.version, Inspection(Policy(schema=choice)))


def test_without_its_target_a_table_is_refused(tmp_path: Path) -> None:
    first = add(trips(), tmp_path)
    with pytest.raises(DataError, match="'fare' is missing"):
        add(trips().drop_columns(["fare"]), tmp_path, first.version, Inspection(Policy(schema="convert")))


def test_another_scale_is_named_and_drift_is_not(tmp_path: Path) -> None:
    before = Inspection()
    first = add(trips(8_000), tmp_path, None, before)
    drifted = trips(8_000, seed=1)
    at = drifted.column_names.index("distance")
    inspection = Inspection(before=before.columns)
    add(drifted.set_column(at, "distance", pc.power(drifted["distance"], 1.5)), tmp_path, first.version, inspection)
    assert not [each for each in inspection.report().findings if each.check == "scale"]
    scaled = drifted.set_column(at, "distance", pc.multiply(drifted["distance"], 1.609))
    surcharge = pc.if_else(pc.equal(scaled["surcharge"], 0.3), 1.0, 0.0)
    scaled = scaled.set_column(scaled.column_names.index("surcharge"), "surcharge", surcharge)
    inspection = Inspection(before=before.columns)
    add(scaled, tmp_path, first.version, inspection)
    found = finding(inspection, "scale")
    assert found.details["columns"]["surcharge"] == "was usually 0.3, is usually 1"
    assert found.details["columns"]["distance"].startswith("is 1.6")
    assert any(each.startswith("surcharge: 0.3 (9") and "->  1 (9" in each for each in found.examples)
