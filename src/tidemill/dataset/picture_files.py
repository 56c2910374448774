"""Reading and checking many picture files: in processes of their own where there are many.

Opening a small file costs more than decoding it, and both hold the interpreter: threads make it slower. A worker is
`python -m tidemill.dataset.picture_files`, which needs nothing of the program that asks. It takes lines of JSON with
files' paths, and answers each with a line of JSON and the files' bytes one after the other.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import IO, Any, NamedTuple

from tidemill.dataset.pictures import MAX_BYTES, Checked, bombs_are_errors, check, too_many_bytes
from tidemill.errors import DataError, StorageError
from tidemill.process import usable_cores

_CHUNK = 200
_FEW = 3_000
"""Files that are sooner read here than a worker has started."""


class Read(NamedTuple):
    """One file: what it is, or why it cannot be used; and its bytes, where they were asked for."""

    checked: Checked | DataError
    content: bytes


def read_all(files: Sequence[str], *, keep: bool, done: Callable[[int], None]) -> list[Read]:
    """Every file, checked, in order; with its bytes if they are to be kept. `done` hears how many are."""
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    workers = 1 if len(files) < _FEW else min(usable_cores(), len(chunks))
    if workers == 1:
        found: list[Read] = []
        with bombs_are_errors():
            for chunk in chunks:
                found += [_read(file, keep) for file in chunk]
                done(len(found))
        return found
    return _share(chunks, keep, done, workers)


def _read(file: str, keep: bool) -> Read:
    try:
        with open(file, "rb", buffering=0) as handle:
            content = handle.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise too_many_bytes(file)
        return Read(check(content, file), content if keep else b"")
    except DataError as error:
        return Read(error, b"")
    except OSError as error:
        return Read(DataError(f"{file} cannot be read: {error.strerror}", "check who owns it, and the disk"), b"")


def _share(chunks: Sequence[Sequence[str]], keep: bool, done: Callable[[int], None], workers: int) -> list[Read]:
    results: list[list[Read]] = [[] for _ in chunks]
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(chunks)):
        waiting.put(number)
    finished: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()
    with ExitStack() as stack:
        for _ in range(workers):
            process = stack.enter_context(_worker())
            stack.callback(process.kill)
            thread = threading.Thread(
                target=_feed, args=(process, chunks, keep, waiting, results, finished), daemon=True
            )
            thread.start()
        total = 0
        for _ in chunks:
            answer = finished.get()
            if isinstance(answer, BaseException):
                raise answer
            total += len(chunks[answer])
            done(total)
    return [each for part in results for each in part]


def _worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tidemill.dataset.picture_files"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    )  # fmt: skip


def _feed(
    process: subprocess.Popen[bytes], chunks: Sequence[Sequence[str]], keep: bool,
    waiting: queue.SimpleQueue[int], results: list[list[Read]], finished: queue.SimpleQueue[int | BaseException],
) -> None:  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            process.stdin.write(json.dumps({"files": list(chunks[number]), "keep": keep}).encode() + b"\n")
            process.stdin.flush()
            results[number] = list(_answers(process.stdout, keep))
            finished.put(number)
    except (OSError, ValueError) as error:
        finished.put(StorageError(f"a process that reads pictures ended: {error}", "run the same command again"))
    except BaseException as error:  # the thread that waits must hear of it
        finished.put(error)


def _answers(stream: IO[bytes], keep: bool) -> Iterator[Read]:
    line = stream.readline()
    if not line:
        raise OSError("it was killed, perhaps for want of memory")
    for entry in json.loads(line):
        if "headline" in entry:
            yield Read(DataError(entry["headline"], entry["remedy"]), b"")
            continue
        checked = Checked(
            bytes.fromhex(entry["digest"]), entry["height"], entry["width"], entry["grey"], bytes.fromhex(entry["look"])
        )
        content = stream.read(entry["bytes"]) if keep else b""
        if keep and len(content) < entry["bytes"]:
            raise OSError("it was killed")
        yield Read(checked, content)


def _entry(read: Read) -> dict[str, Any]:
    if isinstance(read.checked, DataError):
        return {"headline": read.checked.headline, "remedy": read.checked.remedy}
    named = {"digest": read.checked.digest.hex(), "look": read.checked.look.hex()}
    return read.checked._asdict() | named | {"bytes": len(read.content)}


def main() -> None:
    """The worker: answers until its input ends."""
    with bombs_are_errors():
        for line in sys.stdin.buffer:
            asked = json.loads(line)
            found = [_read(file, asked["keep"]) for file in asked["files"]]
            sys.stdout.buffer.write(json.dumps([_entry(each) for each in found]).encode() + b"\n")
            for each in found:
                sys.stdout.buffer.write(each.content)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
