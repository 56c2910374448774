"""Reading and checking many picture files: in processes of their own where there are many.

Opening a small file costs more than decoding it, and both hold the interpreter: threads make it slower. The module is
also the program of those processes; see `workers`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from tidemill.dataset.checks.near import LOOK, likeness
from tidemill.dataset.pictures import MAX_BYTES, Checked, Facts, bombs_are_errors, check, read_small, too_many_bytes
from tidemill.dataset.workers import Work, Workers, serve
from tidemill.errors import DataError
from tidemill.process import usable_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROGRAM = "tidemill.dataset.picture_files"
MANY = 3_000
"""Fewer files are sooner read in this process than a worker has started."""
_CHUNK = 250
_FEW_PAIRS = 1_000  # … of pictures to compare
_PAIRS = 100  # these are taken in turns, too
_FIRST = 1 << 16  # bytes; a buffer of the largest size would cost more than reading the file

Chunked = TypeVar("Chunked", Sequence[str], "NDArray[np.int64]")


class Found(NamedTuple):
    """Files that were read: the facts of each (nothing, of those that are `refused`: why, by place), and its bytes,
    where they were asked for."""

    facts: Facts
    refused: Mapping[int, DataError]
    contents: Sequence[bytes | memoryview]

    def at(self, places: Sequence[int]) -> Found:
        """The files at these places, each once, in that order."""
        refused = {at: self.refused[place] for at, place in enumerate(places) if place in self.refused}
        return Found(self.facts.at(np.array(places, np.int64)), refused, [self.contents[place] for place in places])


def read_all(files: Sequence[str], *, keep: bool, done: Callable[[int], None], workers: Workers | None = None) -> Found:
    """Every file, checked, in order; with its bytes if they are to be kept. `done` hears how many are."""
    if len(files) < MANY or usable_cores() == 1:
        parts: list[Found] = []
        with bombs_are_errors():
            for number, chunk in enumerate(_chunks(files, _CHUNK)):
                parts.append(_read_chunk(chunk, keep))
                done(number * _CHUNK + len(chunk))
        return _joined(parts)
    with ExitStack() as stack:
        ahead = Ahead(workers or stack.enter_context(Workers(PROGRAM)))
        ahead.add(files, keep=keep)
        return ahead.answers(done)


class Ahead:
    """Files that the workers read while others are still looked for."""

    def __init__(self, workers: Workers) -> None:
        self._work: Work = workers.begin()
        self._sizes: list[int] = []

    def add(self, files: Sequence[str], *, keep: bool) -> None:
        """Have `files` read and checked, with their bytes if they are to be kept."""
        for chunk in _chunks(files, _CHUNK):
            self._work.add({"files": chunk, "keep": keep})
            self._sizes.append(len(chunk))

    def answers(self, done: Callable[[int], None]) -> Found:
        """All files in the order in which they were added; `done` hears how many are there."""
        total = 0

        def count(number: int) -> None:
            nonlocal total
            total += self._sizes[number]
            done(total)

        return _joined([_heard(answer) for answer in self._work.answers(count)])


def compare(
    files: Sequence[str], digests: Sequence[bytes], pairs: NDArray[np.int64], workers: Workers
) -> NDArray[np.float64]:
    """As `near.likeness`, of pairs of places [P, 2] in `files`; NaN where a file's SHA-256 is not its digest."""
    if len(pairs) < _FEW_PAIRS or usable_cores() == 1:
        with bombs_are_errors():
            return likeness(pairs, lambda places: [_small(files[at], digests[at]) for at in places])
    work = workers.begin()
    for part in _chunks(pairs, _PAIRS):
        places, inverse = np.unique(part, return_inverse=True)
        listed = places.tolist()
        known = {"files": [files[at] for at in listed], "digests": [digests[at].hex() for at in listed]}
        work.add(known | {"pairs": inverse.reshape(part.shape).tolist()})
    return np.concatenate([np.frombuffer(answer, np.float64) for answer in work.answers()])


def _chunks(items: Chunked, size: int) -> list[Chunked]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _read_chunk(files: Sequence[str], keep: bool) -> Found:
    checked: list[Checked | None] = []
    refused: dict[int, DataError] = {}
    contents: list[bytes] = []
    for at, file in enumerate(files):
        try:
            content = _content(file)
            checked.append(check(content, file))
            contents.append(content if keep else b"")
        except (DataError, OSError) as error:
            checked.append(None)
            contents.append(b"")
            refused[at] = _refusal(file, error)
    return Found(Facts.of(checked), refused, contents)


def _refusal(file: str, error: DataError | OSError) -> DataError:
    if isinstance(error, DataError):
        return error
    return DataError(f"{file} cannot be read: {error.strerror}", "check who owns it, and the disk")


def _joined(parts: Sequence[Found]) -> Found:
    refused: dict[int, DataError] = {}
    contents: list[bytes | memoryview] = []
    for part in parts:
        refused.update((len(contents) + at, error) for at, error in part.refused.items())
        contents += part.contents
    return Found(Facts.joined([part.facts for part in parts]), refused, contents)


def _content(file: str) -> bytes:
    """The bytes of a file. Raises DataError for one that is larger than a picture may be."""
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(handle, _FIRST)
        if len(content) < _FIRST:
            return content
        parts = [content]
        while len(content) and sum(map(len, parts)) <= MAX_BYTES:
            parts.append(content := os.read(handle, 1 << 20))
    finally:
        os.close(handle)
    if sum(map(len, parts)) > MAX_BYTES:
        raise too_many_bytes(file)
    return b"".join(parts)


def _small(file: str, digest: bytes) -> NDArray[np.uint8] | None:
    try:
        content = _content(file)
    except (DataError, OSError):
        return None
    return read_small(content) if hashlib.sha256(content).digest() == digest else None


def _told(found: Found) -> Iterator[bytes | memoryview]:
    """What `_heard` reads."""
    about = {
        "refused": {at: [error.headline, error.remedy] for at, error in found.refused.items()},
        "sizes": [len(content) for content in found.contents],
    }
    yield json.dumps(about).encode() + b"\n"
    yield from (each.tobytes() for each in (found.facts.digests, found.facts.shapes, found.facts.looks))
    yield from found.contents


def _heard(answer: memoryview) -> Found:
    end = bytes(answer).find(b"\n") + 1
    about = json.loads(bytes(answer[:end]))
    count = len(about["sizes"])
    edges = np.cumsum([end, 32 * count, 12 * count, LOOK * count, *about["sizes"]]).tolist()
    digests, shapes, looks = (answer[edges[at] : edges[at + 1]] for at in range(3))
    facts = Facts(
        np.frombuffer(digests, np.uint8).reshape(-1, 32),
        np.frombuffer(bytes(shapes), np.int32).reshape(-1, 3),
        np.frombuffer(looks, np.uint8).reshape(-1, LOOK),
    )
    refused = {int(at): DataError(*said) for at, said in about["refused"].items()}
    return Found(facts, refused, [answer[start:end] for start, end in itertools.pairwise(edges[3:])])


def _answer(asked: Any) -> Iterator[bytes | memoryview]:
    if "pairs" not in asked:
        yield from _told(_read_chunk(asked["files"], asked["keep"]))
        return
    files, known = asked["files"], [bytes.fromhex(digest) for digest in asked["digests"]]
    pairs = np.array(asked["pairs"], np.int64)
    yield likeness(pairs, lambda places: [_small(files[at], known[at]) for at in places]).tobytes()


if __name__ == "__main__":
    from PIL import Image

    Image.preinit()
    with bombs_are_errors():
        serve(_answer)
