"""A version is packed onto the one before: what is new is written, the rest stays as it is."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.dataset import hashes, write
from tidemill.dataset.digest import row_hashes
from tidemill.dataset.draws import part
from tidemill.dataset.hashes import Hashes, as_strings, counts_in, ranks
from tidemill.dataset.packing import pack_onto
from tidemill.dataset.read import PackedDataset, open_dataset
from tidemill.dataset.source import Source
from tidemill.dataset.table_rows import TableRows
from tidemill.domain.dataset import SPLITS, Column
from tidemill.project import data
from tidemill.project.layout import Layout

from .conftest import Projects, paint, paint_folder, write_csv
from .reading import read

COLUMNS = (Column("x", "int64", "feature"), Column("y", "string", "target"))
Row = tuple[int, str, int]


def source(rows: list[Row]) -> Source:
    batch = pa.record_batch(
        [pa.array([x for x, _, _ in rows], pa.int64()), pa.array([y for _, y, _ in rows], pa.string())],
        names=["x", "y"],
    )
    found = Hashes()
    found.add(row_hashes(batch, ["x", "y"]))
    import numpy as np

    splits = np.array([split for _, _, split in rows], np.uint8)
    return Source("classification", COLUMNS, TableRows(lambda: iter([batch]), found, splits), None)


def pack(rows: list[Row], base: PackedDataset | None, into: Path) -> PackedDataset:
    into.mkdir()
    pack_onto(base, source(rows), into, name="t", version="1.0.0", task="tabular", index=None)
    return open_dataset(into, verify=True)


def content(packed: PackedDataset) -> list[Row]:
    return sorted(
        (x, y, SPLITS.index(split.name))
        for split in packed.version.splits
        for x, y in zip(*packed.table(split.name, ["x", "y"]).to_pydict().values(), strict=True)
    )


rows_ = st.lists(st.tuples(st.integers(0, 6), st.sampled_from("ab"), st.integers(0, 2)), min_size=1, max_size=25)


@settings(deadline=None, max_examples=60)
@given(st.lists(rows_, min_size=1, max_size=4), st.sampled_from([3, 1_000]))
def test_any_sequence_of_versions_holds_what_packing_afresh_would(versions: list[list[Row]], limit: int) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patched:
        patched.setattr(hashes, "LIMIT", limit)
        base = None
        for number, rows in enumerate(versions):
            grown = pack(rows, base, Path(name) / f"grown-{number}")
            fresh = pack(rows, None, Path(name) / f"fresh-{number}")
            assert content(grown) == content(fresh) == sorted(rows)
            assert grown.version.digest == fresh.version.digest
            for split in grown.version.splits:
                assert split.classes == fresh.version.split(split.name).classes
                assert split.rows == fresh.version.split(split.name).rows
            base = grown


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40), st.integers(1, 10), st.data())
def test_hashes_in_a_file_are_those_in_memory(values: list[bytes], limit: int, choose: st.DataObject) -> None:
    import numpy as np

    values += choose.draw(st.lists(st.sampled_from(values), max_size=10))
    array = np.frombuffer(b"".join(values), np.uint8).reshape(-1, 32)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(hashes, "LIMIT", limit)
        kept = Hashes()
        for start in range(0, len(array), 3):
            kept.add(array[start : start + 3])
        parts = list(kept.buckets())
        ordered = [each for _, found in parts for each in sorted(as_strings(found).tolist())]
        assert ordered == sorted(as_strings(array).tolist())
        assert sorted(at for indices, _ in parts for at in indices.tolist()) == list(range(len(values)))
        assert all((array[indices] == found).all() for indices, found in parts)
    assert ranks(array).tolist() == [values[:at].count(value) for at, value in enumerate(values)]
    assert counts_in(array[:3], array).tolist() == [values.count(value) for value in values[:3]]


def test_parts_of_batches_keep_rows_and_splits_together() -> None:
    import numpy as np

    batch = pa.record_batch({"x": list(range(6))})
    splits = np.array([0, 1, 255, 2, 0, 1], np.uint8)
    wanted = np.array([True, True, True, False, True, True])
    found = [(split, rows.column(0).to_pylist()) for split, rows in part(iter([batch]), splits, wanted)]
    assert found == [("train", [0, 4]), ("val", [1, 5])]


def shards(layout: Layout, version: str) -> dict[str, int]:
    return {shard.path: shard.bytes for split in data.find(layout, version).splits for shard in split.shards}


def test_adding_pictures_writes_new_shards_and_removing_rewrites_only_theirs(
    project: Projects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "SHARD_BYTES", 3_000)
    monkeypatch.setattr(write, "_GROUP_BYTES", 1_000)
    layout = project("image")
    folder = tmp_path / "in"
    for at, split in enumerate(("train", "val", "test")):
        paint_folder(folder / split, count=40 if split == "train" else 5, first=at * 1000)
    data.add(layout, folder, name="things")
    paint(folder / "train" / "a" / "900.png", 5000)
    data.add(layout, folder, name="things")
    first, second = shards(layout, "1.0.0"), shards(layout, "1.1.0")
    assert len(first) > 5
    assert first.keys() < second.keys()
    assert len(second.keys() - first.keys()) == 1

    (folder / "train" / "b" / "007.png").unlink()
    data.add(layout, folder, name="things")
    third = shards(layout, "1.2.0")
    assert len(second.keys() - third.keys()) == len(third.keys() - second.keys()) == 1
    for number in ("1.0.0", "1.1.0", "1.2.0"):
        opened = data.open_version(layout, "things", number)
        assert open_dataset(opened.root, verify=True).version == opened.version
    out = tmp_path / "out"
    data.export(layout, "1.2.0", out)
    original = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.png")}
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*.png")} == original
    assert data.find(layout, "1.2.0").digest == read(folder, "image").version.digest


def test_one_percent_more_uploads_about_one_percent(project: Projects, tmp_path: Path) -> None:
    from .test_versions import _dvc

    layout = project("image")
    folder = tmp_path / "in"
    for at, split in enumerate(("train", "val", "test")):
        paint_folder(folder / split, count=200 if split == "train" else 5, first=at * 1000)
    for path in folder.rglob("*.png"):
        path.write_bytes(path.read_bytes() + random.Random(path.name).randbytes(2_000))
    remote = tmp_path / "remote"
    _dvc(layout, "remote", "add", "-q", "-d", "storage", str(remote))
    data.add(layout, folder, name="things")
    data.push(layout)
    before = _size(remote)
    for number in range(4):
        path = paint(folder / "train" / "a" / f"9{number}.png", 5000 + number)
        path.write_bytes(path.read_bytes() + random.Random(number).randbytes(2_000))
    data.add(layout, folder, name="things")
    data.push(layout)
    assert 0.005 < (_size(remote) - before) / before < 0.03


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_order_of_a_listing_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = paint_folder(tmp_path / "in")
    digest = read(folder, "image").version.digest
    real = os.scandir

    class Shuffled:
        def __init__(self, path: str) -> None:
            with real(path) as entries:
                self._entries = random.Random(1).sample(found := list(entries), len(found))

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self._entries

        def __exit__(self, *_: object) -> None:
            pass

        def __iter__(self) -> object:
            return iter(self._entries)

    monkeypatch.setattr(os, "scandir", Shuffled)
    assert read(folder, "image").version.digest == digest


def test_files_that_are_as_they_were_are_not_opened(
    project: Projects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidemill.dataset import picture_files, picture_folder

    layout = project("image")
    folder = paint_folder(tmp_path / "in", count=30)
    for path in folder.rglob("*.png"):
        os.utime(path, ns=(1, 1))
    read_now: list[list[str]] = []
    real = picture_files.read_all

    def count(files: list[str], **named: object) -> object:
        read_now.append(list(files))
        return real(files, **named)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(picture_folder, "read_all", count)
    _wait_until_settled(folder)
    data.add(layout, folder, name="things")
    data.add(layout, folder, name="things")
    assert [len(each) for each in read_now] == [60]
    changed = paint(folder / "a" / "003.png", 4242)
    data.add(layout, folder, name="things")
    assert read_now[1:] == [[str(changed)]]
    stats = (folder / "a" / "004.png").stat()
    paint(folder / "a" / "004.png", 4)  # the same bytes, written again
    os.utime(folder / "a" / "004.png", ns=(stats.st_mtime_ns, stats.st_mtime_ns))
    data.add(layout, folder, name="things")
    assert str(folder / "a" / "004.png") in read_now[2]  # its times say that it was touched
    assert [version.version for version in data.versions(layout)] == ["1.0.0", "1.1.0"]


def _wait_until_settled(folder: Path) -> None:
    import time

    latest = max(path.stat().st_ctime_ns for path in folder.rglob("*"))
    while time.time_ns() < latest + 200_000_000:
        time.sleep(0.02)


def test_a_file_changed_in_the_same_instant_is_seen(project: Projects, tmp_path: Path) -> None:
    layout = project("tabular")
    file = write_csv(tmp_path / "t.csv")
    data.add(layout, file, name="things")
    content_, stats = file.read_bytes(), file.stat()
    file.write_bytes(content_.replace(b"green", b"grean", 1))
    os.utime(file, ns=(stats.st_atime_ns, stats.st_mtime_ns))
    data.add(layout, file, name="things")
    assert [version.version for version in data.versions(layout)] == ["1.0.0", "1.1.0"]
