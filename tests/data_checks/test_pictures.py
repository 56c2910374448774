"""Checks of picture folders: all findings come together, and leaving out leaves out what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.dataset.checks.finding import Finding, Inspection, Policy
from tidemill.dataset.read import PackedDataset, open_dataset
from tidemill.domain.dataset import Task
from tidemill.errors import DataError
from tidemill.stages.ingest import Reading, ingest

from .conftest import jpeg, scene, scenes


def add(
    path: Path, into: Path, policy: Policy | None = None, *, task: Task = "image"
) -> tuple[PackedDataset, Inspection]:
    inspection = Inspection(policy)
    into.mkdir()
    ingest(
        path, into, name="things", version="1.0.0", task=task, reading=Reading(), previous=None,
        note=lambda _: None, progress=lambda *_: None, inspection=inspection,
    )  # fmt: skip
    return open_dataset(into, verify=True), inspection


def findings(inspection: Inspection) -> dict[str, Finding]:
    return {each.check: each for each in inspection.report().findings}


def names(data: PackedDataset) -> set[str]:
    return {name for split in data.version.splits for name in data.table(split.name, ["name"])["name"].to_pylist()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return scenes(tmp_path / "in")


@pytest.fixture
def spoilt(folder: Path) -> Path:
    """Two damaged pictures, one that is in train and test, one near duplicate across splits, one within train."""
    (folder / "train/a/bad.jpg").write_bytes(jpeg(scene(900))[:400])
    (folder / "val/b/empty.jpg").touch()
    (folder / "train/a/leak.jpg").write_bytes((folder / "test/b/00.jpg").read_bytes())
    (folder / "train/b/near.jpg").write_bytes(jpeg(scene(24), 45))  # scene 24 is val/a/00.jpg
    (folder / "train/b/twin.jpg").write_bytes((folder / "train/b/03.jpg").read_bytes())
    return folder


def test_a_clean_folder_has_no_findings(folder: Path, tmp_path: Path) -> None:
    _, inspection = add(folder, tmp_path / "out")
    assert inspection.report().findings == ()


def test_every_finding_is_told_before_it_stops(spoilt: Path, tmp_path: Path) -> None:
    inspection = Inspection()
    with pytest.raises(DataError) as caught:
        ingest(
            spoilt, tmp_path, name="x", version="1.0.0", task="image", reading=Reading(), previous=None,
            note=lambda _: None, progress=lambda *_: None, inspection=inspection,
        )  # fmt: skip
    assert caught.value.headline.startswith(f"{spoilt} has 2 problems: 2 of 77 pictures cannot be used")
    assert "leave-out" in caught.value.remedy
    found = findings(inspection)
    assert set(found) == {"undecodable", "leakage", "two_labels", "duplicates", "near_leakage"}
    assert found["undecodable"].action == found["leakage"].action == "stop"
    assert found["near_leakage"].action == "note"
    assert found["leakage"].examples == ("test/b/00.jpg = train/a/leak.jpg",)
    assert found["near_leakage"].examples[0].startswith("val/a/00.jpg ~ train/b/near.jpg")
    assert found["near_leakage"].details["other_label"] == 1
    assert found["duplicates"].examples == ("train/b/twin.jpg = train/b/03.jpg",)


def test_leaving_out_keeps_the_copy_in_test(spoilt: Path, tmp_path: Path) -> None:
    checks = ("undecodable", "leakage", "near_leakage", "duplicates")
    data, inspection = add(spoilt, tmp_path / "out", Policy(dict.fromkeys(checks, "leave-out")))
    kept = names(data)
    assert len(kept) == 72
    assert {"test/b/00.jpg", "val/a/00.jpg", "train/b/03.jpg"} <= kept
    assert not kept & {"train/a/bad.jpg", "train/a/leak.jpg", "train/b/near.jpg", "train/b/twin.jpg"}
    assert {each.action for each in inspection.report().findings if each.check in checks} == {"leave-out"}


def test_copies_with_two_labels_are_all_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "train/b/other.jpg").write_bytes((folder / "train/a/00.jpg").read_bytes())
    data, inspection = add(folder, tmp_path / "out", Policy({"two_labels": "leave-out"}))
    assert not names(data) & {"train/b/other.jpg", "train/a/00.jpg"}
    assert findings(inspection)["two_labels"].count == 1


def test_a_small_class_is_named_and_may_be_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "train/c").mkdir()
    (folder / "train/c/one.jpg").write_bytes(jpeg(scene(950)))
    data, inspection = add(folder, tmp_path / "out")
    assert findings(inspection)["few_samples"].examples == ("c: 1",)
    assert data.version.classes == ("a", "b", "c")
    data, _ = add(folder, tmp_path / "again", Policy({"few_samples": "leave-out"}))
    assert data.version.classes == ("a", "b")
    _, inspection = add(folder, tmp_path / "third", Policy(min_samples=1))
    assert not inspection.report().findings


def test_near_duplicates_may_be_left_alone(spoilt: Path, tmp_path: Path) -> None:
    policy = Policy({"undecodable": "leave-out", "leakage": "note"}, near=False)
    data, inspection = add(spoilt, tmp_path / "out", policy)
    assert "near_leakage" not in findings(inspection)
    assert "train/a/leak.jpg" in names(data)


def test_a_split_that_is_left_empty_is_an_error(folder: Path, tmp_path: Path) -> None:
    for file in (folder / "val").rglob("*.jpg"):
        file.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"24 of 72 pictures cannot be used"):
        add(folder, tmp_path / "out")
