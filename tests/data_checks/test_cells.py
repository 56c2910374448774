"""Cells and rows that cannot be used: all named at once, left out when asked, and counted in one way."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tidemill.dataset.cells import BadCells, emptied
from tidemill.dataset.checks.finding import Finding, Inspection, Policy
from tidemill.dataset.read import PackedDataset, open_dataset
from tidemill.dataset.reading import Steps
from tidemill.domain.dataset import Task
from tidemill.errors import DataError
from tidemill.stages.ingest import Reading, ingest

LEAVE = Policy({"bad_cells": "leave-out", "no_value": "leave-out"})


def rows() -> list[list[str]]:
    return [[f"{at}.5", str(at % 9), "xyz"[at % 3], "ab"[at % 2]] for at in range(90)]


def write(file: Path, rows: list[list[str]]) -> Path:
    lines = [",".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows]
    file.write_text("\n".join(["size,count,code,target", *lines]) + "\n")
    return file


def spoilt(file: Path) -> Path:
    """Five marks for a missing value, and four cells and labels that cannot be used, in rows 61, 71, 81 and 86."""
    table = rows()
    for at, mark in enumerate(("n/a", "NA", "NULL", "-", "")):
        table[at][at % 2] = mark
    table[60][0], table[70][1], table[80][3], table[85][0] = "-inf", "12,5", "", "?"
    return write(file, table)


def add(path: Path, inspection: Inspection, task: Task = "tabular", reading: Reading | None = None) -> PackedDataset:
    into = path.with_suffix(".packed")
    into.mkdir(parents=True, exist_ok=True)
    ingest(
        path, into, name="t", version="1.0.0", task=task, reading=reading or Reading(), previous=None,
        note=lambda _: None, progress=lambda *_: None, inspection=inspection,
    )  # fmt: skip
    return open_dataset(into, verify=True)


def findings(inspection: Inspection) -> dict[str, Finding]:
    return {each.check: each for each in inspection.report().findings}


def test_all_that_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    inspection = Inspection()
    with pytest.raises(DataError, match="has 2 problems"):
        add(spoilt(tmp_path / "t.csv"), inspection)
    bad, missing = findings(inspection)["bad_cells"], findings(inspection)["no_value"]
    assert bad.count == 3 and bad.details["columns"] == {"size": 2, "count": 1}
    assert set(bad.examples) == {"row 61: size = '-inf'", "row 71: count = '12,5'", "row 86: size = '?'"}
    assert missing.headline == "the target column 'target' has no value in row 81"
    assert "--as-text" in bad.remedy and "--on-problem leave-out" in bad.remedy


def test_left_out_their_rows_are_missing_and_the_columns_are_numbers(tmp_path: Path) -> None:
    data = add(spoilt(tmp_path / "t.csv"), Inspection(LEAVE))
    assert [(c.name, c.type) for c in data.version.columns][:2] == [("size", "double"), ("count", "int64")]
    found = [row for split in data.version.splits for row in data.table(split.name).to_pylist()]
    sizes = {row["size"] for row in found}
    assert len(found) == 86 and sum(row["size"] is None or row["count"] is None for row in found) == 5
    assert not sizes & {60.5, 70.5, 80.5, 85.5} and data.version.classes == ("a", "b")


def test_rows_of_other_splits_and_after_a_range_are_the_right_ones(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    table = rows()
    for split, part in (("train", table[:50]), ("val", table[50:70]), ("test", table[70:])):
        part[7][1] = part[1][1] = "bad"
        write(folder / f"{split}.csv", part)
    inspection = Inspection(LEAVE)
    data = add(folder, inspection, reading=Reading(steps=Steps(keep={"size": (3, 1_000)})))
    assert [split.rows for split in data.version.splits] == [50 - 3 - 1, 18, 18]
    left = {row["size"] for split in data.version.splits for row in data.table(split.name).to_pylist()}
    assert not left & {7.5, 51.5, 57.5, 71.5, 77.5}
    assert findings(inspection)["bad_cells"].examples[0] == "test.csv, row 2: count = 'bad'"


def test_texts_without_a_label_are_left_out(tmp_path: Path) -> None:
    lines = [f"sentence number {at},{'good' if at % 2 else 'bad'}" for at in range(60)]
    lines[7], lines[9] = "no label,", " ,good"
    (tmp_path / "t.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    inspection = Inspection()
    with pytest.raises(DataError, match="'text' and the target column 'label' have no value in 2 rows"):
        add(tmp_path / "t.csv", inspection, "text")
    assert set(findings(inspection)["no_value"].examples) == {"row 8: label", "row 10: text"}
    data = add(tmp_path / "t.csv", Inspection(LEAVE), "text")
    assert data.version.rows == 58 and data.version.classes == ("bad", "good")


def test_numbers_in_every_form_are_kept() -> None:
    cells = pa.record_batch({"x": ["+5", " 7 ", ".5", "1e3", "n/a", "-", "", None, "12,5", "1e999", "NaN"]})
    found, bad = emptied(cells, {"x": pa.float64()})
    assert found.column(0).to_pylist() == [5.0, 7.0, 0.5, 1000.0, *[None] * 7]
    assert bad["x"].tolist() == [8, 9, 10]
    gathered = BadCells()
    assert gathered.gather(Path("t.csv"), [cells, cells], {"x": pa.float64()}).tolist() == [8, 9, 10, 19, 20, 21]


def test_a_ragged_row_is_counted_like_any_other(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", [*rows(), ["1"]])
    with pytest.raises(DataError, match="row 91 has 1 cells"):
        add(file, Inspection())
    file.write_text("\n".join(file.read_text().splitlines()[1:]) + "\n")
    with pytest.raises(DataError, match="row 91 has 1 cells"):
        add(file, Inspection(), reading=Reading("c4", header=False))
