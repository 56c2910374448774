"""An image folder: class folders, with or without folders for the splits around them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tidemill.dataset.pictures import Checked, check_all
from tidemill.dataset.source import Note, Pictures, Progress, Source
from tidemill.dataset.splits import draw, split_named
from tidemill.domain.dataset import Column
from tidemill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (Column("name", "string", "path"), Column("label", "string", "target"), Column("data", "binary", "image"))
_LAYOUT = "expected class folders with pictures:  CLASS/*.png  or  train/CLASS/*.png, val/…, test/…"
_BATCH_BYTES = 8_000_000
_CLUTTER = frozenset({"thumbs.db", "desktop.ini"})


class Picture(NamedTuple):
    """A file of the folder. `name` is its path inside the folder; `split` is None where none was given."""

    split: str | None
    label: str
    name: str
    path: Path


def read_folder(folder: Path, *, note: Note, progress: Progress) -> Source:
    """Check every picture under `folder`. Raises DataError naming the file or folder that cannot be used."""
    pictures = scan(folder, note)
    _check_classes(folder, pictures)
    checked = check_all([picture.path for picture in pictures], progress)
    splits = _splits(pictures, checked)
    _check_apart(pictures, checked, splits, note)
    facts = Pictures(
        round(median(each.height for each in checked)),
        round(median(each.width for each in checked)),
        all(each.grey for each in checked),
    )
    order = sorted(range(len(pictures)), key=lambda i: pictures[i].name)
    return Source("classification", COLUMNS, _batches([pictures[i] for i in order], [splits[i] for i in order]), facts)


def scan(folder: Path, note: Note) -> list[Picture]:
    """The files of all class folders."""
    root = folder.resolve()
    top = _folders(root)
    given = {name: split for name in top if (split := split_named(name)) is not None}
    if given and len(given) < len(top):
        others = ", ".join(sorted(set(top) - set(given)))
        raise DataError(f"{folder} has folders beside its splits: {others}", f"move them away; {_LAYOUT}")
    if len(set(given.values())) < len(given):
        raise DataError(f"{folder} has two folders for one split: {', '.join(sorted(given))}", "merge them")
    if given and "train" not in given.values():
        raise DataError(f"{folder} has no train folder, only {', '.join(sorted(given))}", _LAYOUT)
    if not top:
        raise DataError(f"{folder} has no class folders", _LAYOUT)
    _refuse_strays(root, given, note)
    pictures: list[Picture] = []
    for name, split in given.items():
        pictures += _classes(root, root / name, split)
    return pictures if given else _classes(root, root, None)


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _refuse_strays(root: Path, given: dict[str, str], note: Note) -> None:
    """A picture beside the class folders would silently be left out; anything else is only mentioned."""
    from tidemill.domain.dataset import PICTURE_FORMATS

    suffixes = {f".{name.lower()}" for name in PICTURE_FORMATS} | {".jpg", ".tif"}
    for folder in [root, *(root / name for name in given)]:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.is_dir() or _is_clutter(entry.name):
                continue
            if Path(entry.name).suffix.lower() in suffixes:
                raise DataError(f"{entry.path} is in no class folder", "move it into the folder of its class")
            note(f"left out: {os.path.relpath(entry.path, root)} (no picture of a class)")


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _CLUTTER


def _classes(root: Path, folder: Path, split: str | None) -> list[Picture]:
    found: list[Picture] = []
    labels = _folders(folder)
    if not labels:
        raise DataError(f"{folder} has no class folders", _LAYOUT)
    for label in labels:
        files = list(_files(root, folder / label))
        if not files:
            raise DataError(f"{folder / label} is a class folder without a picture", "fill it or remove it")
        found += [Picture(split, label, path.relative_to(root).as_posix(), path) for path in files]
    return found


def _files(root: Path, folder: Path) -> Iterator[Path]:
    _refuse_escape(root, folder)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if _is_clutter(entry.name):
            continue
        if entry.is_symlink():
            _refuse_escape(root, path)
            if path.is_dir():
                raise DataError(f"{path} is a link to a folder", "put the folder itself there")
        if entry.is_dir():
            yield from _files(root, path)
        elif entry.is_file():
            _refuse_unspeakable(entry.name, path)
            yield path
        else:
            raise DataError(f"{path} is no file (a broken link, a pipe or a device)", "remove it")


def _refuse_escape(root: Path, path: Path) -> None:
    if not path.resolve().is_relative_to(root):
        raise DataError(f"{path} is a link that leaves the folder, to {path.resolve()}", "put the file itself there")


def _refuse_unspeakable(name: str, path: Path) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{str(path)!a} has a name that is not UTF-8", "rename the file") from None


def _check_classes(folder: Path, pictures: list[Picture]) -> None:
    labels = {picture.label for picture in pictures}
    if len(labels) < 2:
        raise DataError(f"{folder} has only one class, {labels.pop()!r}", f"a classifier needs two; {_LAYOUT}")


def _splits(pictures: list[Picture], checked: list[Checked]) -> list[str]:
    """The split of each picture: its folder's, or drawn from its content among those that came in train or in none."""
    missing = frozenset({"val", "test"} - {picture.split for picture in pictures if picture.split})
    splits = [picture.split or "train" for picture in pictures]
    open_rows = [i for i, split in enumerate(splits) if split == "train"]
    if missing:
        hashes = np.frombuffer(b"".join(checked[i].digest for i in open_rows), np.uint8).reshape(-1, 32)
        for i, split in zip(open_rows, draw(hashes, missing).tolist(), strict=True):
            splits[i] = split
    counts = Counter(splits)
    for split in ("train", "val", "test"):
        if not counts[split]:
            raise DataError(f"{len(pictures)} pictures are too few to draw a {split} split from", "add more pictures")
    return splits


def _check_apart(pictures: list[Picture], checked: list[Checked], splits: list[str], note: Note) -> None:
    """No picture may be in two splits: the test would be about what was learned by heart. Two labels are mentioned."""
    seen: dict[bytes, int] = {}
    for i, each in enumerate(checked):
        first = seen.setdefault(each.digest, i)
        if splits[first] != splits[i]:
            raise DataError(
                f"two splits share a picture: {pictures[first].name} and {pictures[i].name} are the same file",
                f"remove it from {splits[first]} or from {splits[i]}",
            )
        if pictures[first].label != pictures[i].label:
            note(f"{pictures[first].name} and {pictures[i].name} are the same picture with two labels")


def _batches(pictures: list[Picture], splits: list[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    rows: dict[str, list[tuple[str, str, bytes]]] = {}
    sizes: Counter[str] = Counter()
    for picture, split in zip(pictures, splits, strict=True):
        content = picture.path.read_bytes()
        rows.setdefault(split, []).append((picture.name, picture.label, content))
        sizes[split] += len(content)
        if sizes[split] > _BATCH_BYTES:
            yield split, _batch(rows.pop(split))
            sizes[split] = 0
    for split, rest in rows.items():
        yield split, _batch(rest)


def _batch(rows: list[tuple[str, str, bytes]]) -> pa.RecordBatch:
    import pyarrow as pa

    names, labels, contents = zip(*rows, strict=True)
    return pa.record_batch(
        [pa.array(names, pa.string()), pa.array(labels, pa.string()), pa.array(contents, pa.binary())],
        names=[column.name for column in COLUMNS],
    )
