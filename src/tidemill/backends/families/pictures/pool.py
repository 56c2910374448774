"""Decoding slices in several processes, which are replaced when they die."""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from tidemill.backends.families.pictures.worker import HEADER, decode
from tidemill.domain.record import to_plain
from tidemill.errors import DataError, ItemError, StorageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.dataset.slices import Slice
    from tidemill.domain.bundle import ImagePreprocessing

_ATTEMPTS = 2  # processes that one slice may kill
_log = logging.getLogger("tidemill.pictures")


@dataclass(frozen=True)
class Decoding:
    """How to decode: the column with the files, the preprocessing, and the number of processes (0: this one)."""

    column: str
    preprocessing: ImagePreprocessing
    workers: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of each picture."""
        return self.preprocessing.height, self.preprocessing.width, 1 if self.preprocessing.mode == "L" else 3

    def decoded(self, parts: Sequence[Slice]) -> Iterator[tuple[Slice, NDArray[np.uint8]]]:
        """Each slice with its pixels uint8 [n, H, W, C], in the order in which they are done.

        A process that dies is replaced and named in the log. Raises DataError for a picture that cannot be decoded,
        StorageError for a slice that kills every process.
        """
        number = min(self.workers, len(parts))
        if number:
            yield from _Crew(self, parts, number).answers()
            return
        for part in parts:
            try:
                yield part, decode(self.preprocessing, part, self.column, None)
            except ItemError as error:
                _refuse(part, error.index, error.headline, error.remedy)


class _Crew:
    """As many threads as processes: each hands its process a slice and waits for the pixels."""

    def __init__(self, decoding: Decoding, parts: Sequence[Slice], number: int) -> None:
        self._decoding, self._parts, self._number = decoding, iter(parts), number
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._done: queue.Queue[tuple[Slice, NDArray[np.uint8]] | BaseException | None] = queue.Queue(number)
        self._processes: set[subprocess.Popen[bytes]] = set()

    def answers(self) -> Iterator[tuple[Slice, NDArray[np.uint8]]]:
        threads = [threading.Thread(target=self._work, name="decode", daemon=True) for _ in range(self._number)]
        for thread in threads:
            thread.start()
        try:
            working = self._number
            while working:
                answer = self._done.get()
                if isinstance(answer, BaseException):
                    raise answer
                if answer is None:
                    working -= 1
                else:
                    yield answer
        finally:
            self._end(threads)

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        self._stopped.set()
        with self._lock:
            for process in self._processes:
                process.kill()
        while any(thread.is_alive() for thread in threads):
            try:
                self._done.get(timeout=0.05)
            except queue.Empty:
                continue

    def _work(self) -> None:
        process: subprocess.Popen[bytes] | None = None
        try:
            while (part := self._next()) is not None:
                for attempt in range(1, _ATTEMPTS + 1):
                    process = process or self._start()
                    pixels = self._ask(process, part)
                    if pixels is not None:
                        self._done.put((part, pixels))
                        break
                    code = self._bury(process)
                    process = None
                    if self._stopped.is_set():
                        return
                    _log.warning("decoding process ended (%s) at %s; a new one goes on", code, _where(part))
                    if attempt == _ATTEMPTS:
                        raise StorageError(
                            f"decoding {_where(part)} ends every process ({code})",
                            "give them more memory, or take fewer:  data.workers=1",
                        )
            self._done.put(None)
        except BaseException as error:
            self._done.put(error)
        finally:
            if process is not None:
                self._bury(process)

    def _next(self) -> Slice | None:
        with self._lock:
            return None if self._stopped.is_set() else next(self._parts, None)

    def _start(self) -> subprocess.Popen[bytes]:
        environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tidemill.backends.families.pictures.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        )  # fmt: skip
        with self._lock:
            self._processes.add(process)
        task = {"column": self._decoding.column, "preprocessing": to_plain(self._decoding.preprocessing)}
        _send(process, task)
        return process

    def _bury(self, process: subprocess.Popen[bytes]) -> str:
        """How it ended; it is ended if it has not."""
        assert process.stdin is not None
        assert process.stdout is not None
        for pipe in (process.stdin, process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                continue
        with self._lock:
            self._processes.discard(process)
        code = process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _ask(self, process: subprocess.Popen[bytes], part: Slice) -> NDArray[np.uint8] | None:
        """The pixels, or None when the process died."""
        assert process.stdout is not None
        if not _send(process, list(part)):
            return None
        header = process.stdout.read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        good, length = HEADER.unpack(header)
        content = bytearray(length)
        view, filled = memoryview(content), 0
        while filled < length:
            got = process.stdout.readinto(view[filled:])  # type: ignore[attr-defined]  # a BufferedReader
            if not got:
                return None
            filled += got
        if not good:
            told = json.loads(bytes(content))
            _refuse(part, told["index"], told["headline"], told["remedy"])
        return np.frombuffer(content, np.uint8).reshape(len(part), *self._decoding.shape)


def _send(process: subprocess.Popen[bytes], value: object) -> bool:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(value).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return False
    return True


def _where(part: Slice) -> str:
    return f"rows {part.first} to {part.first + len(part) - 1} ({part.path})"


def _refuse(part: Slice, index: int | None, headline: str, remedy: str) -> NoReturn:
    row = f"row {part.first + index}" if index is not None else _where(part)
    raise DataError(f"{row} of {part.path}: {headline}", remedy or "add a version of the data without it")
