"""Reading an image folder: only files that are not as they were the last time are opened."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tidemill.dataset.checks.decodable import check_decodable
from tidemill.dataset.checks.finding import Inspection
from tidemill.dataset.folders import Picture, scan
from tidemill.dataset.picture_files import Workers, read_all, read_smalls
from tidemill.dataset.picture_rows import Named, picture_source
from tidemill.dataset.pictures import Checked
from tidemill.dataset.remembered import Remembered, place, recall, remember
from tidemill.dataset.source import Note, Progress, Source
from tidemill.errors import DataError

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
    with Workers() as workers:
        return _read(folder, note, progress, cache, inspection, workers)


def _read(
    folder: Path, note: Note, progress: Progress, cache: Path | None, inspection: Inspection, workers: Workers
) -> Source:
    looked = time.time_ns()
    root = folder.resolve()
    before = recall(place(cache, root)) if cache is not None else None
    pictures = scan(folder, note, many=workers.start if before is None else None)
    known = _known(pictures, before)
    new = [number for number, each in enumerate(known) if each is None]
    held = sum(pictures[number].stats[0] for number in new) <= _HELD_BYTES
    paths = [f"{root}/{pictures[number].name}" for number in new]
    found = read_all(
        paths, keep=held, done=lambda done: progress(len(pictures) - len(new) + done, len(pictures)), workers=workers
    )
    contents: dict[int, bytes] = {}
    for number, read in zip(new, found, strict=True):
        known[number] = read.checked
        if held:
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
            yield from _contents(root, pictures, numbers[start : start + _AT_ONCE], contents)

    def read_again(numbers: Sequence[int]) -> list[NDArray[np.uint8] | None]:
        files = [f"{root}/{pictures[number].name}" for number in numbers]
        return read_smalls(files, [checked[number].digest for number in numbers], workers)

    memory = place(cache, root).with_suffix(".pairs.npz") if cache is not None else None
    return picture_source(named, read_contents, inspection, smalls=read_again, memory=memory)


def _known(pictures: Sequence[Picture], before: Remembered | None) -> list[Checked | DataError | None]:
    if before is None:
        return [None] * len(pictures)
    stats = np.array([picture.stats for picture in pictures], np.int64)
    return [*before.known([picture.name for picture in pictures], stats)]


def _contents(
    root: Path, pictures: Sequence[Picture], numbers: Sequence[int], held: dict[int, bytes]
) -> Iterator[bytes]:
    for number in numbers:
        content = held.get(number)
        yield (root / pictures[number].name).read_bytes() if content is None else content
