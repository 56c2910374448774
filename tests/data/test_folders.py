"""Image folders: their layouts, and each thing that can be wrong with one."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tidemill.errors import DataError

from .conftest import paint, paint_folder
from .reading import read


def rows(folder: Path, notes: list[str] | None = None) -> dict[str, int]:
    return {split.name: split.rows for split in read(folder, "image", notes=notes).version.splits}


def test_class_folders_are_drawn_into_three_splits_by_content(tmp_path: Path) -> None:
    before = read(paint_folder(tmp_path / "one", count=60), "image")
    counts = {split.name: split.rows for split in before.version.splits}
    assert counts["train"] > counts["test"] > counts["val"] > 0
    assert sum(counts.values()) == 120

    more = paint_folder(tmp_path / "two", count=60)
    paint_folder(more, classes="c", count=30, first=500)
    after = read(more, "image")
    for split in counts:
        assert set(before.examples(split).names) <= set(after.examples(split).names)


@pytest.mark.parametrize(
    "splits",
    [("train", "val", "test"), ("Training", "VALIDATION", "evaluation"), ("TRAIN", "valid", "Test")],
)
def test_folders_for_the_splits_may_be_called_many_ways(tmp_path: Path, splits: tuple[str, str, str]) -> None:
    for at, split in enumerate(splits):
        paint_folder(tmp_path / "in" / split, count=3 + at, first=at * 100)
    assert rows(tmp_path / "in") == {"train": 6, "val": 8, "test": 10}


def test_a_missing_val_is_drawn_from_train(tmp_path: Path) -> None:
    paint_folder(tmp_path / "in" / "train", count=60)
    paint_folder(tmp_path / "in" / "test", count=5, first=1000)
    counts = rows(tmp_path / "in")
    assert counts["test"] == 10
    assert counts["train"] + counts["val"] == 120
    assert 0 < counts["val"] < 30


def test_five_pictures_are_enough(tmp_path: Path) -> None:
    assert min(rows(paint_folder(tmp_path / "in", count=3)).values()) >= 1


def test_bytes_are_kept_and_grey_is_seen(tmp_path: Path) -> None:
    folder = paint_folder(tmp_path / "in", count=20)
    paint(folder / "a" / "deeper" / "x.jpg", 999, mode="RGB")
    data = read(folder, "image")
    for split in ("train", "val", "test"):
        examples = data.examples(split)
        for name, content, label in zip(examples.names, examples.inputs, examples.labels, strict=True):
            assert content == (folder / name).read_bytes()
            assert label == name.split("/")[0]


def test_clutter_is_passed_over_and_other_files_are_mentioned(tmp_path: Path) -> None:
    folder = paint_folder(tmp_path / "in")
    for name in (".DS_Store", "a/.hidden", "b/Thumbs.db", "README.txt"):
        (folder / name).write_text("no picture")
    notes: list[str] = []
    assert sum(rows(folder, notes).values()) == 40
    assert notes == ["left out: README.txt (no picture of a class)"]


def test_a_class_that_only_the_test_has_is_allowed_and_mentioned(tmp_path: Path) -> None:
    paint_folder(tmp_path / "in" / "train", classes="ab")
    paint_folder(tmp_path / "in" / "test", classes="abc", first=1000)
    notes: list[str] = []
    data = read(tmp_path / "in", "image", notes=notes)
    assert data.version.classes == ("a", "b", "c")
    assert any("class c" in note for note in notes)


def test_a_link_inside_the_folder_is_a_file(tmp_path: Path) -> None:
    folder = paint_folder(tmp_path / "in")
    (folder / "a" / "000.png").unlink()
    (folder / "a" / "000.png").symlink_to(folder / "a" / "001.png")
    assert sum(rows(folder).values()) == 40


def giant_png() -> bytes:
    """60,000 x 60,000 pixels in a few bytes: only its header says so."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def medium_bomb(file: Path) -> None:
    Image.new("1", (10_000, 9_999)).save(file)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _truncate(file: Path) -> None:
    file.write_bytes(Image.new("RGB", (64, 64)).tobytes()[:40])
    Image.effect_noise((64, 64), 90).save(file, "PNG")
    file.write_bytes(file.read_bytes()[:-600])


def _only_one_class(folder: Path) -> None:
    shutil.rmtree(folder / "b")


def _share(folder: Path) -> None:
    (folder / "val").mkdir()
    shutil.copytree(folder / "a", folder / "train" / "a")
    shutil.copytree(folder / "b", folder / "train" / "b")
    shutil.move(folder / "a", folder / "val" / "a")
    shutil.move(folder / "b", folder / "val" / "b")


def _link_out(folder: Path) -> None:
    outside = paint(folder.parent / "outside.png", 5)
    (folder / "a" / "link.png").symlink_to(outside)


def _link_folder_out(folder: Path) -> None:
    shutil.move(folder / "a", folder.parent / "elsewhere")
    (folder / "a").symlink_to(folder.parent / "elsewhere")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, "does not exist"),
    "empty": (_empty, "is empty"),
    "class without a picture": (lambda f: (f / "c").mkdir(), r"c is a class folder without a picture"),
    "truncated": (lambda f: _truncate(f / "a" / "000.png"), r"000\.png is truncated"),
    "not a picture": (lambda f: (f / "b" / "x.png").write_text("hello"), r"x\.png is not a picture"),
    "other file": (lambda f: (f / "b" / "notes.txt").write_text("hello"), r"notes\.txt is not a picture"),
    "empty file": (lambda f: (f / "b" / "x.png").touch(), r"x\.png is empty"),
    "giant": (lambda f: (f / "a" / "giant.png").write_bytes(giant_png()), r"giant\.png is too large"),
    "large": (lambda f: medium_bomb(f / "a" / "large.png"), r"large\.png is too large"),
    "one class": (_only_one_class, "only one class"),
    "shared": (_share, "pictures are in two splits"),
    "link out": (_link_out, "leaves the folder"),
    "folder link out": (_link_folder_out, "leaves the folder"),
    "broken link": (lambda f: (f / "a" / "l.png").symlink_to(f / "gone"), r"l\.png"),
    "loose picture": (lambda f: paint(f / "loose.png", 7), r"loose\.png is in no class folder"),
    "test only": (lambda f: shutil.move(paint_folder(f / "x" / "test"), f.parent / "in" / "test"), "folders beside"),
    "pipe": (lambda f: os.mkfifo(f / "a" / "pipe.png"), r"pipe\.png is no file"),
    "bad class": (lambda f: shutil.copytree(f / "a", os.fsdecode(os.fsencode(f) + b"/\xff")), "UTF-8"),
    "bad name": (lambda f: Path(os.fsdecode(os.fsencode(f / "a") + b"/\xff.png")).touch(), "UTF-8"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_used_is_one_error_with_a_remedy(tmp_path: Path, what: str) -> None:
    spoil, headline = BAD[what]
    folder = paint_folder(tmp_path / "in")
    spoil(folder)
    with pytest.raises(DataError, match=headline) as caught:
        read(folder, "image")
    assert caught.value.remedy
    assert "\n" not in caught.value.headline


def test_a_file_is_no_image_folder(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="is no folder"):
        read(tmp_path / "x.csv", "image")


def test_two_folders_for_one_split(tmp_path: Path) -> None:
    for split in ("train", "val", "valid"):
        paint_folder(tmp_path / "in" / split, first=len(split) * 100)
    with pytest.raises(DataError, match="two folders for one split"):
        read(tmp_path / "in", "image")


def test_no_train_folder(tmp_path: Path) -> None:
    paint_folder(tmp_path / "in" / "test")
    with pytest.raises(DataError, match="no train folder"):
        read(tmp_path / "in", "image")
