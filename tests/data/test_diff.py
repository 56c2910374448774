"""Comparing two versions: counts, columns, samples, and that shared shards are not read."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.cli.diff_view import print_diff
from tidemill.dataset.diff import ColumnDiff, DatasetDiff, SplitDiff, compare
from tidemill.dataset.read import PackedDataset
from tidemill.stages.ingest import Reading

from .conftest import paint, write_csv
from .reading import read


def _folder(root: Path, pictures: dict[str, int]) -> Path:
    """`pictures` gives each path below `root` a colour; equal colours are equal files."""
    for name, colour in pictures.items():
        paint(root / name, colour)
    return root


def _pictures(count: int = 40) -> dict[str, int]:
    return {
        f"{split}/{label}/{at:02d}.png": at + 100 * "ab".index(label) + 1_000 * place
        for place, split in enumerate(("train", "val", "test")) for label in "ab" for at in range(count)
    }  # fmt: skip


def _split(diff: DatasetDiff, name: str) -> SplitDiff:
    return next(split for split in diff.splits if split.name == name)


def test_every_kind_of_change_of_pictures(tmp_path: Path) -> None:
    before = _pictures()
    after = dict(before)
    after["train/a/new.png"] = 5_001  # added
    del after["train/b/39.png"]  # removed
    after["train/a/05.png"] = 5_002  # changed
    after["train/b/moved.png"] = after.pop("train/b/00.png")  # renamed
    after["train/b/was-a.png"] = after.pop("train/a/01.png")  # relabelled
    old = read(_folder(tmp_path / "old", before), "image")
    new = read(_folder(tmp_path / "new", after), "image")
    diff = compare(old, new)
    train = _split(diff, "train")
    found = (train.before, train.after, train.added, train.removed, train.changed, train.relabelled, train.renamed)
    assert found == (80, 80, 1, 1, 1, 1, 1)
    assert train.classes == {"a": (40, 40), "b": (40, 40)}
    told = {(sample.what, sample.name, sample.was, sample.label) for sample in diff.samples}
    assert told == {
        ("added", "train/a/new.png", "", "a"), ("removed", "train/b/39.png", "", "b"),
        ("changed", "train/a/05.png", "", "a"), ("relabelled", "train/b/was-a.png", "a", "b"),
    }  # fmt: skip
    assert compare(old, old).equal and not compare(old, old).samples


def test_labels_that_two_pictures_swapped(tmp_path: Path) -> None:
    before = _pictures()
    after = {**before, "train/a/00.png": before["train/b/00.png"], "train/b/00.png": before["train/a/00.png"]}
    diff = compare(read(_folder(tmp_path / "old", before), "image"), read(_folder(tmp_path / "new", after), "image"))
    train = _split(diff, "train")
    assert (train.added, train.removed, train.relabelled, train.changed) == (0, 0, 2, 0)


@pytest.mark.parametrize("seed", range(4))
def test_counts_agree_with_counting_one_by_one(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    tables = [
        pa.table({"x": [source.randrange(30) for _ in range(rows)], "target": source.choices(["u", "v"], k=rows)})
        for rows in (400, 380)
    ]
    data: list[PackedDataset] = []
    for at, table in enumerate(tables):
        folder = tmp_path / str(at)
        folder.mkdir()
        for split, part in (("train", table.slice(0, 300)), ("val", table.slice(300, 40)), ("test", table.slice(340))):
            pq.write_table(part, folder / f"{split}.parquet")
        data.append(read(folder, "tabular"))
    train = _split(compare(*data), "train")
    before, after = (Counter(map(tuple, (row.values() for row in t.slice(0, 300).to_pylist()))) for t in tables)
    gone, come = before - after, after - before
    contents = [Counter(x for x, _ in side.elements()) for side in (gone, come)]
    relabelled = (contents[0] & contents[1]).total()
    assert (train.relabelled, train.removed, train.added) == (
        relabelled, gone.total() - relabelled, come.total() - relabelled,
    )  # fmt: skip


def test_columns_side_by_side(tmp_path: Path) -> None:
    old = read(write_csv(tmp_path / "old.csv", 300), "tabular")
    new = read(write_csv(tmp_path / "new.csv", 300, shift=150), "tabular")
    columns = {column.name: column for column in compare(old, new).columns}
    assert list(columns) == ["size", "count", "colour", "target"]
    size = columns["size"]
    assert size.before is not None and size.after is not None
    assert size.before.mean == pytest.approx(150.0) and size.after.mean == pytest.approx(300.0)
    assert len(size.values) == 29 and all(sum(share) == pytest.approx(1) for share in size.shares)
    assert columns["colour"].values == ("red", "green")
    assert columns["colour"].shares[0] == pytest.approx((200 / 300, 100 / 300))


def test_the_columns_that_moved_are_shown_first_and_the_others_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def table(shift: int, days: int) -> PackedDataset:
        place = tmp_path / f"{shift}.parquet"
        rows = {"same": [at % 7 for at in range(400)], "target": ["a", "b"] * 200}
        rows |= {"far": [at + 400 * shift for at in range(400)], "near": [at % 100 + 10 * shift for at in range(400)]}
        when = pa.array([(at % 9 + days) * 86_400 for at in range(400)], pa.timestamp("s"))
        pq.write_table(pa.table({**rows, "when": when}), place)
        return read(place, "tabular")

    print_diff(compare(table(0, 0), table(1, 20)))
    shown = capsys.readouterr().out
    _, header, *lines = shown[shown.index("\n\n") :].splitlines()[1:]
    assert header == "column\tapart\twas\tis"
    assert [line.split("\t")[0] for line in lines[:3]] == ["far", "when", "near"]
    assert "from 1970-01-01 00:00, to 1970-01-09 00:00" in lines[1] and "mostly" not in shown
    assert lines[3] == "  2 other columns less than 5% apart"


def test_a_column_that_came_and_one_that_went(tmp_path: Path) -> None:
    old = read(write_csv(tmp_path / "old.csv"), "tabular")
    table = tmp_path / "new.csv"
    table.write_text(write_csv(tmp_path / "like.csv").read_text().replace("count", "number", 1))
    diff = compare(old, read(table, "tabular", Reading()))
    assert (diff.columns_added, diff.columns_removed) == (("number",), ("count",))
    sides = {column.name: (column.before is None, column.after is None) for column in diff.columns}
    assert sides["number"] == (True, False) and sides["count"] == (False, True)
    assert isinstance(diff.columns[0], ColumnDiff)


def test_shards_that_both_versions_have_are_not_read(tmp_path: Path) -> None:
    old = read(_folder(tmp_path / "old", _pictures(5)), "image")
    for split in old.version.splits:
        for shard in split.shards:
            os.truncate(old.root / shard.path, 10)  # reading it would fail
    assert [(split.before, split.added) for split in compare(old, old).splits] == [(10, 0)] * 3
