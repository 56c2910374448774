"""Reading an image folder: only files that are not as they were the last time are opened."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.checks.decodable import check_decodable
from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.folders import Picture, scan
from tidemill.dataset.picture_files import MANY, Ahead, Read, Workers, compare, read_all
from tidemill.dataset.picture_rows import Named, picture_source, same
from tidemill.dataset.pictures import Checked
from tidemill.dataset.remembered import Remembered, place, recall, remember
from tidemill.dataset.source import Note, Progress, Source
from tidemill.errors import DataError
from tidemill.process import usable_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HELD_BYTES = 256_000_000
_AT_ONCE = 2_000


def read_folder(
    folder: Path, *, note: Note, progress: Progress, cache: Path | None = None, inspection: Inspection | None = None
) -> Source:
    """Check every picture under `folder`; what was checked before is known from `cache`.

    What cannot be used is told `inspection`, and left out. Raises DataError naming a folder that cannot be used.
    """
    inspection = inspection or Inspection()
    with Workers() as workers, _uncollected():
        return _read(folder, note, progress, cache, inspection, workers)


def _read(
    folder: Path, note: Note, progress: Progress, cache: Path | None, inspection: Inspection, workers: Workers
) -> Source:
    looked = time.time_ns()
    root = folder.resolve()
    before = recall(place(cache, root)) if cache is not None else None
    ahead = _Ahead(root, workers)
    pictures = scan(folder, note, heard=ahead.take if before is None and usable_cores() > 1 else lambda _: None)
    known = _known(pictures, before)
    new = [number for number, each in enumerate(known) if each is None]

    def done(count: int) -> None:
        progress(len(pictures) - len(new) + count, len(pictures))

    found = ahead.answers(pictures, done)
    if found is None:
        keep = sum(pictures[number].stats[0] for number in new) <= _HELD_BYTES
        found = read_all([f"{root}/{pictures[number].name}" for number in new], keep=keep, done=done, workers=workers)
    contents: dict[int, bytes] = {}
    for number, read in zip(new, found, strict=True):
        known[number] = read.checked
        if read.content:
            contents[number] = read.content
    tried = [each for each in known if each is not None]
    usable = check_decodable(tried, inspection)
    pictures = [pictures[number] for number in usable]
    contents = {at: contents[number] for at, number in enumerate(usable) if number in contents}
    checked = [each for each in tried if isinstance(each, Checked)]
    if cache is not None and new:
        stats = np.array([picture.stats for picture in pictures], np.int64)
        remember(place(cache, root), [picture.name for picture in pictures], stats, checked, looked=looked)
    named = [Named(p.name, p.split, p.label, each) for p, each in zip(pictures, checked, strict=True)]

    def read_contents(numbers: Sequence[int]) -> Iterator[bytes]:
        for start in range(0, len(numbers), _AT_ONCE):
            yield from _contents(root, pictures, checked, numbers[start : start + _AT_ONCE], contents)

    def compared(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        return compare([f"{root}/{p.name}" for p in pictures], [each.digest for each in checked], pairs, workers)

    memory = place(cache, root).with_suffix(".pairs.npz") if cache is not None else None
    return picture_source(named, read_contents, inspection, compare=compared, memory=memory)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Inside, nothing looks for cycles: among several objects a picture, all of which stay, that is a tenth of all."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _Ahead:
    """Has the pictures of a folder of which nothing is known read while the rest is looked for, if they are many.

    Bytes of as many as there is room for are kept.
    """

    def __init__(self, root: Path, workers: Workers) -> None:
        self._root, self._workers = root, workers
        self._waiting: list[Picture] = []
        self._names: list[str] = []
        self._bytes = 0
        self._ahead: Ahead | None = None

    def take(self, pictures: Sequence[Picture]) -> None:
        """Have these read, too, once there are enough."""
        self._waiting += pictures
        if self._ahead is None and len(self._waiting) < MANY:
            return
        self._ahead = self._ahead or Ahead(self._workers)
        self._bytes += sum(picture.stats[0] for picture in self._waiting)
        names = [picture.name for picture in self._waiting]
        self._ahead.add([f"{self._root}/{name}" for name in names], keep=self._bytes <= _HELD_BYTES)
        self._names += names
        self._waiting = []

    def answers(self, pictures: Sequence[Picture], done: Callable[[int], None]) -> list[Read] | None:
        """What they are, in the order of `pictures`; None when they were too few."""
        if self._ahead is None:
            return None
        found = dict(zip(self._names, self._ahead.answers(done), strict=True))
        return [found[picture.name] for picture in pictures]


def _known(pictures: Sequence[Picture], before: Remembered | None) -> list[Checked | DataError | None]:
    if before is None:
        return [None] * len(pictures)
    stats = np.array([picture.stats for picture in pictures], np.int64)
    return [*before.known([picture.name for picture in pictures], stats)]


def _contents(
    root: Path, pictures: Sequence[Picture], checked: Sequence[Checked], numbers: Sequence[int], held: dict[int, bytes]
) -> Iterator[bytes]:
    """Those that are held are what was checked."""
    for number in numbers:
        content = held.get(number)
        yield (
            same((root / pictures[number].name).read_bytes(), pictures[number].name, checked[number])
            if content is None
            else content
        )
