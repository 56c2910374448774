"""Checks of texts: equal and nearly equal ones."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from tidemill.dataset.checks.duplicates import Rows, check_equal, check_near
from tidemill.dataset.checks.finding import Finding, Inspection, Policy
from tidemill.dataset.checks.sentences import likeness, plain, signatures
from tidemill.dataset.read import PackedDataset, open_dataset
from tidemill.errors import DataError
from tidemill.stages.ingest import Reading, ingest

WORDS = [
    "river", "tide", "mill", "stone", "water", "grain", "wheel", "gate", "flood", "moon", "salt", "marsh", "boat",
    "rope", "flour", "sack", "wind", "door", "key", "lamp",
]  # fmt: skip


def sentences(count: int, seed: int) -> list[str]:
    source = random.Random(seed)
    return [" ".join(source.choices(WORDS, k=12)) for _ in range(count)]


def add(splits: dict[str, list[str]], tmp_path: Path, inspection: Inspection) -> PackedDataset:
    folder = tmp_path / f"in{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    for split, texts in splits.items():
        labels = ["yes" if at % 2 else "no" for at in range(len(texts))]
        pacsv.write_csv(pa.table({"text": texts, "label": labels}), folder / f"{split}.csv")
    into = folder.with_suffix(".out")
    into.mkdir()
    ingest(
        folder, into, name="words", version="1.0.0", task="text", reading=Reading(), previous=None,
        note=lambda _: None, progress=lambda *_: None, inspection=inspection,
    )  # fmt: skip
    return open_dataset(into)


def findings(inspection: Inspection) -> dict[str, Finding]:
    return {each.check: each for each in inspection.report().findings}


@pytest.fixture
def splits() -> dict[str, list[str]]:
    return {"train": sentences(200, 1), "val": sentences(40, 2), "test": sentences(40, 3)}


def test_different_texts_have_no_findings(splits: dict[str, list[str]], tmp_path: Path) -> None:
    inspection = Inspection()
    add(splits, tmp_path, inspection)
    assert inspection.report().findings == ()


def test_the_same_text_in_two_splits_is_noted_and_may_be_left_out_of_train(
    splits: dict[str, list[str]], tmp_path: Path
) -> None:
    splits["test"][4] = splits["train"][6]
    inspection = Inspection()
    assert add(splits, tmp_path, inspection).version.rows == 280
    assert findings(inspection)["equal_rows"].headline.startswith("two splits share a text: train/7 ")
    with pytest.raises(DataError, match=r"two splits share a text: train/7 .* and test/5 .* are the same"):
        add(splits, tmp_path, Inspection(Policy({"equal_rows": "stop"})))
    data = add(splits, tmp_path, Inspection(Policy({"equal_rows": "leave-out"})))
    assert [split.rows for split in data.version.splits] == [199, 40, 40]


def test_nearly_the_same_text_is_noted(splits: dict[str, list[str]], tmp_path: Path) -> None:
    splits["test"][0] = splits["train"][0].capitalize().replace(" ", ", ", 2) + "!"
    splits["val"][1] = splits["train"][3] + " again"
    inspection = Inspection()
    add(splits, tmp_path, inspection)
    found = findings(inspection)
    assert set(found) == {"near_leakage"}
    assert found["near_leakage"].headline.startswith(
        "1 of 40 test texts (2.5%) and 1 of 40 val texts (2.5%) are nearly"
    )
    assert found["near_leakage"].examples[0].startswith("test/1 ")


def test_doubles_within_a_split_and_with_two_labels(splits: dict[str, list[str]], tmp_path: Path) -> None:
    splits["train"][10] = splits["train"][11]
    inspection = Inspection()
    add(splits, tmp_path, inspection)
    assert {check: each.count for check, each in findings(inspection).items()} == {"duplicates": 1, "two_labels": 1}


def test_plain_leaves_what_a_text_says() -> None:
    assert plain("  The  Tide—it TURNS, again! ") == "the tide it turns again"
    assert likeness("The tide turns again.", "the tide, turns again") == 1.0


def test_signatures_agree_whatever_stands_beside_a_text() -> None:
    texts = sentences(50, 4)
    together = signatures(texts)
    assert all((signatures([text])[0] == row).all() for text, row in zip(texts, together, strict=True))
    assert (signatures(["short", "tiny", "no"]) == 0).all()
    assert not (signatures([texts[0], "x", texts[1]])[1]).any()


def test_leaking_texts_are_shown_with_the_split_they_are_in() -> None:
    """A file called train is drawn from when there is no test: its name does not say where a row is."""
    splits = np.array([0, 2, 1, 0], np.uint8)
    rows = Rows(lambda at: f"train/{at}", ["a"] * 4, splits, "text")
    inspection = Inspection(Policy(name="cola"))
    check_near(rows, np.array([[0, 1]]), np.array([0.9]), inspection)
    check_equal(rows, np.array([b"x", b"y", b"x", b"z"]), inspection)
    near, equal = inspection.report().findings
    assert near.examples == ("train/1 in test ~ train/0 (0.90)",)
    assert equal.examples == ("train/2 in val = train/0",)
    assert near.remedy.endswith("in conf/data/cola.yaml:  checks: {near_leakage: leave-out}")
