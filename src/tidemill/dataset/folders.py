"""An image folder: class folders, with or without folders for the splits around them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tidemill.dataset.source import Note
from tidemill.dataset.splits import split_named
from tidemill.domain.dataset import PICTURE_FORMATS
from tidemill.errors import DataError

_LAYOUT = "expected class folders with pictures:  CLASS/*.png  or  train/CLASS/*.png, val/…, test/…"
_CLUTTER = frozenset({"thumbs.db", "desktop.ini"})
_SUFFIXES = frozenset({*(f".{name.lower()}" for name in PICTURE_FORMATS), ".jpg", ".tif"})


class Picture(NamedTuple):
    """A file of the folder. `name` is its path inside the folder; `split` is None where none was given. `stats` are
    its size, mtime, ctime (nanoseconds since 1970) and inode."""

    name: str
    split: str | None
    label: str
    stats: tuple[int, int, int, int]


Heard = Callable[[Sequence[Picture]], None]


def scan(folder: Path, note: Note, *, heard: Heard = lambda _: None) -> list[Picture]:
    """The files of all class folders, by name; `heard` gets those of each folder once they are found.

    Raises DataError naming the file or folder that cannot be used.
    """
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
        pictures += _classes(root, f"{name}/", split, heard)
    if not given:
        pictures = _classes(root, "", None, heard)
    labels = {picture.label for picture in pictures}
    if len(labels) < 2:
        raise DataError(f"{folder} has only one class, {labels.pop()!r}", f"a classifier needs two; {_LAYOUT}")
    return sorted(pictures)


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _refuse_strays(root: Path, given: dict[str, str], note: Note) -> None:
    """A picture beside the class folders would silently be left out; anything else is only mentioned."""
    for folder in [root, *(root / name for name in given)]:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.is_dir() or _is_clutter(entry.name):
                continue
            if Path(entry.name).suffix.lower() in _SUFFIXES:
                raise DataError(f"{entry.path} is in no class folder", "move it into the folder of its class")
            left = os.fsencode(os.path.relpath(entry.path, root)).decode(errors="replace")
            note(f"left out: {left} (no picture of a class)")


def _is_clutter(name: str) -> bool:
    return name[0] == "." or name.lower() in _CLUTTER


def _classes(root: Path, prefix: str, split: str | None, heard: Heard) -> list[Picture]:
    """The pictures of the class folders in `prefix`, which is empty or ends with a slash."""
    found: list[Picture] = []
    labels = _folders(root / prefix)
    if not labels:
        raise DataError(f"{root / prefix} has no class folders", _LAYOUT)
    for label in labels:
        _refuse_unspeakable(label, os.path.join(root, prefix, label))
        before = len(found)
        found += _files(root, f"{prefix}{label}/", split, label)
        if len(found) == before:
            raise DataError(f"{root / prefix / label} is a class folder without a picture", "fill it or remove it")
        heard(found[before:])
    return found


def _files(root: Path, prefix: str, split: str | None, label: str) -> Iterator[Picture]:
    _refuse_escape(root, root / prefix)
    with os.scandir(root / prefix) as entries:
        for entry in entries:
            name = entry.name
            if _is_clutter(name):
                continue
            if entry.is_symlink():
                _refuse_link(root, Path(entry.path))
            if not name.isascii():
                _refuse_unspeakable(name, entry.path)
            if entry.is_dir():
                yield from _files(root, f"{prefix}{name}/", split, label)
            elif entry.is_file():
                found = entry.stat()
                stats = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
                yield Picture(prefix + name, split, label, stats)
            else:
                raise DataError(f"{entry.path} is no file (a broken link, a pipe or a device)", "remove it")


def _refuse_link(root: Path, path: Path) -> None:
    _refuse_escape(root, path)
    if path.is_dir():
        raise DataError(f"{path} is a link to a folder", "put the folder itself there")


def _refuse_escape(root: Path, path: Path) -> None:
    if not path.resolve().is_relative_to(root):
        raise DataError(f"{path} is a link that leaves the folder, to {path.resolve()}", "put the file itself there")


def _refuse_unspeakable(name: str, path: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{path!a} has a name that is not UTF-8", "rename it") from None
