"""Reading and checking many picture files: in processes of their own where there are many.

Opening a small file costs more than decoding it, and both hold the interpreter: threads make it slower. A worker is
`python -m tidemill.dataset.picture_files`, which needs nothing of the program that asks. It takes lines of JSON with
files' paths, and answers each with a line of JSON and perhaps bytes: the digests, looks and contents of the files, or
how alike pairs of them are.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar

import numpy as np

from tidemill.dataset.checks.near import LOOK, likeness
from tidemill.dataset.pictures import MAX_BYTES, Checked, bombs_are_errors, check, read_small, too_many_bytes
from tidemill.errors import DataError, StorageError
from tidemill.process import usable_cores

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

_CHUNK = 200
MANY = 3_000
"""Fewer files are sooner read in this process than a worker has started."""
_FEW_PAIRS = 1_000  # … of pictures to compare
_FIRST = 1 << 16  # bytes; a buffer of the largest size would cost more than reading the file

Answer = TypeVar("Answer")
Chunked = TypeVar("Chunked", Sequence[str], "NDArray[np.int64]")


class Read(NamedTuple):
    """One file: what it is, or why it cannot be used; and its bytes, where they were asked for."""

    checked: Checked | DataError
    content: bytes


class Workers:
    """The processes; none until there is something to share, or `start` says that there will be."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._processes = []
        self._stack.close()

    def start(self) -> None:
        """Have a worker for each core, where there is more than one. May be repeated."""
        while usable_cores() > 1 and len(self._processes) < usable_cores():
            process = self._stack.enter_context(_worker())
            self._stack.callback(process.kill)
            self._processes.append(process)

    def begin(self, answer: Callable[[IO[bytes]], Answer]) -> Work[Answer]:
        """Work that the processes share from now on; `answer` reads the answer to one request."""
        self.start()
        return Work(self._processes, answer)


class Work(Generic[Answer]):
    """Requests to the processes, which are answered as they come. One at a time."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]], answer: Callable[[IO[bytes]], Answer]) -> None:
        self._processes, self._answer = processes, answer
        self._waiting: queue.SimpleQueue[tuple[int, dict[str, Any]] | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()
        self._found: dict[int, Answer] = {}
        self._count = 0
        for process in processes:
            threading.Thread(target=self._feed, args=(process,), daemon=True).start()

    def add(self, request: dict[str, Any]) -> None:
        """Have one more request answered."""
        self._waiting.put((self._count, request))
        self._count += 1

    def answers(self, done: Callable[[int], None] = lambda _: None) -> list[Answer]:
        """The answers in order, when all are there; `done` hears the number of each. Raises what went wrong."""
        for _ in self._processes:
            self._waiting.put(None)
        for _ in range(self._count):
            ended = self._finished.get()
            if isinstance(ended, BaseException):
                raise ended
            done(ended)
        return [self._found[number] for number in range(self._count)]

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        try:
            while (asked := self._waiting.get()) is not None:
                number, request = asked
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                self._found[number] = self._answer(process.stdout)
                self._finished.put(number)
        except (OSError, ValueError) as error:
            said = f"a process that reads pictures ended: {error}"
            self._finished.put(StorageError(said, "run the same command again"))
        except BaseException as error:  # the thread that waits must hear of it
            self._finished.put(error)


def read_all(
    files: Sequence[str], *, keep: bool, done: Callable[[int], None], workers: Workers | None = None
) -> list[Read]:
    """Every file, checked, in order; with its bytes if they are to be kept. `done` hears how many are."""
    chunks = _chunks(files)
    if len(files) < MANY or usable_cores() == 1:
        found: list[Read] = []
        with bombs_are_errors():
            for chunk in chunks:
                found += [_read(file, keep) for file in chunk]
                done(len(found))
        return found
    with ExitStack() as stack:
        ahead = Ahead(workers or stack.enter_context(Workers()))
        ahead.add(files, keep=keep)
        return ahead.answers(done)


class Ahead:
    """Files that the workers read while others are still looked for."""

    def __init__(self, workers: Workers) -> None:
        self._work = workers.begin(_answers)
        self._sizes: list[int] = []

    def add(self, files: Sequence[str], *, keep: bool) -> None:
        """Have `files` read and checked, with their bytes if they are to be kept."""
        for chunk in _chunks(files):
            self._work.add({"files": list(chunk), "keep": keep})
            self._sizes.append(len(chunk))

    def answers(self, done: Callable[[int], None]) -> list[Read]:
        """All files in the order in which they were added; `done` hears how many are there."""
        total = 0

        def count(number: int) -> None:
            nonlocal total
            total += self._sizes[number]
            done(total)

        return [each for part in self._work.answers(count) for each in part]


def compare(
    files: Sequence[str], digests: Sequence[bytes], pairs: NDArray[np.int64], workers: Workers
) -> NDArray[np.float64]:
    """As `near.likeness`, of pairs of places [P, 2] in `files`; NaN where a file's SHA-256 is not its digest."""
    if len(pairs) < _FEW_PAIRS or usable_cores() == 1:
        return likeness(pairs, lambda places: [_small(files[at], digests[at]) for at in places])
    work = workers.begin(_floats)
    for part in _chunks(pairs):
        places, inverse = np.unique(part, return_inverse=True)
        listed = places.tolist()
        known = {"files": [files[at] for at in listed], "digests": [digests[at].hex() for at in listed]}
        work.add(known | {"pairs": inverse.reshape(part.shape).tolist()})
    return np.concatenate(work.answers())


def _chunks(items: Chunked) -> list[Chunked]:
    return [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]


def _read(file: str, keep: bool) -> Read:
    try:
        content = _content(file)
        if len(content) > MAX_BYTES:
            raise too_many_bytes(file)
        return Read(check(content, file), content if keep else b"")
    except DataError as error:
        return Read(error, b"")
    except OSError as error:
        return Read(DataError(f"{file} cannot be read: {error.strerror}", "check who owns it, and the disk"), b"")


def _content(file: str) -> bytes:
    """The bytes of a file, or a part that is larger than a picture may be."""
    with open(file, "rb", buffering=0) as handle:
        content = handle.read(_FIRST)
        if len(content) < _FIRST:
            return content
        return content + handle.read(MAX_BYTES + 1 - _FIRST)


def _small(file: str, digest: bytes) -> NDArray[np.uint8] | None:
    try:
        content = _content(file)
    except OSError:
        return None
    return read_small(content) if hashlib.sha256(content).digest() == digest else None


def _worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tidemill.dataset.picture_files"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    )  # fmt: skip


def _answers(stream: IO[bytes]) -> list[Read]:
    about = json.loads(_whole(stream, None))
    count = len(about["shapes"])
    digests, looks = _whole(stream, 32 * count), _whole(stream, LOOK * count)
    contents = _whole(stream, sum(about["sizes"]))
    refused = {int(number): DataError(*said) for number, said in about["refused"].items()}
    found, start = [], 0
    for number, ((high, wide, grey, looked), size) in enumerate(zip(about["shapes"], about["sizes"], strict=True)):
        look = looks[number * LOOK : (number + 1) * LOOK] if looked else b""
        checked = Checked(digests[number * 32 : (number + 1) * 32], high, wide, bool(grey), look)
        found.append(Read(refused.get(number) or checked, contents[start : start + size]))
        start += size
    return found


def _floats(stream: IO[bytes]) -> NDArray[np.float64]:
    return np.array(json.loads(_whole(stream, None)), np.float64)


def _whole(stream: IO[bytes], size: int | None) -> bytes:
    """So many bytes of a worker's answer; None is a line."""
    content = stream.readline() if size is None else stream.read(size)
    if not content.endswith(b"\n") if size is None else len(content) < size:
        raise OSError("it was killed, perhaps for want of memory")
    return content


def _told(found: Sequence[Read]) -> Iterator[bytes]:
    """What `_answers` reads."""
    empty = Checked(bytes(32), 0, 0, False)
    refused = {at: each.checked for at, each in enumerate(found) if isinstance(each.checked, DataError)}
    checked = [empty if isinstance(each.checked, DataError) else each.checked for each in found]
    about = {
        "refused": {at: [error.headline, error.remedy] for at, error in refused.items()},
        "shapes": [(each.height, each.width, int(each.grey), int(bool(each.look))) for each in checked],
        "sizes": [len(each.content) for each in found],
    }
    yield json.dumps(about).encode() + b"\n"
    yield b"".join(each.digest for each in checked)
    yield b"".join(each.look or bytes(LOOK) for each in checked)
    yield from (each.content for each in found)


def _compared(files: Sequence[str], digests: Sequence[str], pairs: Sequence[Sequence[int]]) -> bytes:
    """What `_floats` reads."""
    known = [bytes.fromhex(digest) for digest in digests]
    found = likeness(np.array(pairs, np.int64), lambda places: [_small(files[at], known[at]) for at in places])
    return json.dumps(found.tolist()).encode() + b"\n"


def main() -> None:
    """The worker: answers until its input ends."""
    with bombs_are_errors():
        for line in sys.stdin.buffer:
            asked = json.loads(line)
            if "pairs" in asked:
                answer = _compared(**asked)
            else:
                answer = b"".join(_told([_read(file, asked["keep"]) for file in asked["files"]]))
            sys.stdout.buffer.write(answer)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
