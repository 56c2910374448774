"""Reading an image folder: only files that are not as they were the last time are opened."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tidemill.dataset.checks.decodable import check_decodable
from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.folders import Picture, scan
from tidemill.dataset.picture_files import MANY, PROGRAM, Ahead, Found, compare, read_all
from tidemill.dataset.picture_rows import Content, Named, picture_source, same
from tidemill.dataset.pictures import Facts
from tidemill.dataset.remembered import Remembered, place, recall, remember
from tidemill.dataset.source import Note, Progress, Source
from tidemill.dataset.workers import Workers
from tidemill.process import usable_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HELD_BYTES = 256_000_000


def read_folder(
    folder: Path, *, note: Note, progress: Progress, cache: Path | None = None, inspection: Inspection | None = None
) -> Source:
    """Check every picture under `folder`; what was checked before is known from `cache`.

    What cannot be used is told `inspection`, and left out. Raises DataError naming a folder that cannot be used.
    """
    inspection = inspection or Inspection()
    with Workers(PROGRAM) as workers, _uncollected():
        return _read(folder, note, progress, cache, inspection, workers)


def _read(
    folder: Path, note: Note, progress: Progress, cache: Path | None, inspection: Inspection, workers: Workers
) -> Source:
    looked = time.time_ns()
    root = folder.resolve()
    before = recall(place(cache, root)) if cache is not None else None
    ahead = _Ahead(root, workers)
    pictures = scan(folder, note, heard=ahead.take if before is None and usable_cores() > 1 else lambda _: None)
    names = [picture.name for picture in pictures]
    stats = np.array([picture.stats for picture in pictures], np.int64)
    facts, new = _known(names, stats, before)

    def done(count: int) -> None:
        progress(len(names) - len(new) + count, len(names))

    found = ahead.answers(names, done)
    if found is None:
        keep = bool(stats[new, 0].sum() <= _HELD_BYTES)
        found = read_all([f"{root}/{names[number]}" for number in new.tolist()], keep=keep, done=done, workers=workers)
    check_decodable([found.refused[at] for at in sorted(found.refused)], len(names), inspection)
    facts.put(new, found.facts)
    usable = np.delete(np.arange(len(names)), new[list(found.refused)])
    held = dict(zip(new.tolist(), found.contents, strict=True))
    files = _Files(root, [names[at] for at in usable], facts.at(usable), [held.get(at, b"") for at in usable], workers)
    if cache is not None and len(new):
        remember(place(cache, root), files.names, stats[usable], files.facts, looked=looked)
    splits, labels = [pictures[at].split for at in usable], [pictures[at].label for at in usable]
    memory = place(cache, root).with_suffix(".pairs.npz") if cache is not None else None
    named = Named(files.names, splits, labels, files.facts)
    return picture_source(named, files.contents, inspection, compare=files.compare, memory=memory)


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

    def answers(self, names: Sequence[str], done: Callable[[int], None]) -> Found | None:
        """What the pictures called `names` are, in that order; None when they were too few."""
        if self._ahead is None:
            return None
        places = {name: at for at, name in enumerate(self._names)}
        return self._ahead.answers(done).at([places[name] for name in names])


class _Files(NamedTuple):
    """Pictures below `root`, and of some their bytes; nothing of the others."""

    root: Path
    names: Sequence[str]
    facts: Facts
    held: Sequence[Content]
    workers: Workers

    def contents(self, numbers: Sequence[int]) -> Iterator[Content]:
        """As `picture_rows.Contents`. What is held is what was checked."""
        for number in numbers:
            yield self.held[number] or self._again(number)

    def _again(self, number: int) -> bytes:
        name = self.names[number]
        return same((self.root / name).read_bytes(), name, self.facts.digest(number))

    def compare(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """As `near.likeness`."""
        places, inverse = np.unique(pairs, return_inverse=True)
        files = [f"{self.root}/{self.names[at]}" for at in places]
        digests = [self.facts.digest(at) for at in places]
        return compare(files, digests, inverse.reshape(pairs.shape), self.workers)


def _known(
    names: Sequence[str], stats: NDArray[np.int64], before: Remembered | None
) -> tuple[Facts, NDArray[np.int64]]:
    """What is known of each file, and the places [M] of those of which nothing is."""
    facts = Facts.none(len(names))
    if before is None:
        return facts, np.arange(len(names))
    at = before.known(names, stats)
    old = np.flatnonzero(at >= 0)
    facts.put(old, before.facts.at(at[old]))
    return facts, np.flatnonzero(at < 0)
