"""Processes that share requests: each takes the next one as soon as it is done, and none waits for who asks.

The first worker is `python -m MODULE`, which needs nothing of the program that asks; it calls `serve`, which forks the
others, so that all is imported once. Requests (JSON) and answers (bytes) lie in memory that both sides see. Through
pipes go only records of where they lie: one pipe, from which all workers read, hands the requests out, and each worker
says through a pipe of its own what it has done.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tidemill.errors import StorageError
from tidemill.process import usable_cores

if TYPE_CHECKING:
    from types import TracebackType

_RECORD = struct.Struct("=qqq")  # the request's number, and where in the memory it or its answer begins and ends
_AT_ONCE = 4096 // _RECORD.size * _RECORD.size  # what a pipe takes whole, and without a wait where it takes anything
_PATIENCE = 0.5  # seconds for processes to end by themselves


class Workers:
    """The processes that run `module`; none until there is something to share, or `start` says that there will be."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._stack = ExitStack()
        self._shared: _Shared | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shared = None
        self._stack.__exit__(kind, error, trace)

    def start(self) -> None:
        """Have a worker for each core, where there is more than one. May be repeated."""
        if usable_cores() > 1:
            self._started()

    def begin(self) -> Work:
        """Work that the processes share from now on. One at a time."""
        return Work(self._started())

    def _started(self) -> _Shared:
        if self._shared is None:
            with ExitStack() as theirs:
                asked = _memory(self._stack)
                ends = [_ends(self._stack, theirs) for _ in range(usable_cores())]
                process = self._run([asked, *itertools.chain.from_iterable(each[:2] for each in ends)])
            self._stack.push(partial(_end, process))
            assert process.stdin is not None
            self._shared = _Shared(process.stdin.fileno(), asked, ends)
        return self._shared

    def _run(self, handed: Sequence[int]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", self._module, *map(str, handed)], bufsize=0, process_group=0,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=handed,
            env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        )  # fmt: skip


class _Ends(NamedTuple):
    """The memory that a worker writes to, and the pipe through which it says what it has done: there, and here."""

    told: int
    there: int
    says: int


class _Shared(NamedTuple):
    """The end of the pipe for requests, the memory that they lie in, and the ends of who answers them."""

    given: int
    asked: int
    workers: Sequence[_Ends]


class Work:
    """Requests to the workers, which are answered in any order."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._end = os.fstat(shared.asked).st_size
        self._waiting = bytearray()
        self._places: dict[int, tuple[_Ends, int, int]] = {}
        self._count = 0
        self._ready = selectors.DefaultSelector()
        for worker in shared.workers:
            self._ready.register(worker.says, selectors.EVENT_READ, worker)

    def add(self, request: dict[str, Any]) -> None:
        """Have one more request answered."""
        content = json.dumps(request).encode()
        os.pwrite(self._shared.asked, content, self._end)
        self._waiting += _RECORD.pack(self._count, self._end, self._end + len(content))
        self._end += len(content)
        self._count += 1
        if len(self._waiting) == _RECORD.size:
            self._ready.register(self._shared.given, selectors.EVENT_WRITE)
        self._pass(wait=False, done=lambda _: None)

    def answers(self, done: Callable[[int], None] = lambda _: None) -> list[memoryview]:
        """The answers in order, when all are there; `done` hears the number of each. Raises StorageError."""
        for number in self._places:
            done(number)
        while len(self._places) < self._count:
            self._pass(wait=True, done=done)
        self._ready.close()
        found = {
            worker: memoryview(mmap.mmap(worker.told, 0, access=mmap.ACCESS_READ))
            for worker in {worker for worker, _, _ in self._places.values()}
        }
        places = (self._places[number] for number in range(self._count))
        return [found[worker][start:end] for worker, start, end in places]

    def _pass(self, *, wait: bool, done: Callable[[int], None]) -> None:
        """Hand requests out and hear of answers, as far as the pipes allow."""
        for key, _ in self._ready.select(None if wait else 0):
            if key.data is None:
                del self._waiting[: os.write(self._shared.given, self._waiting[:_AT_ONCE])]
                if not self._waiting:
                    self._ready.unregister(self._shared.given)
                continue
            records = os.read(key.data.says, _AT_ONCE)
            if not records:
                said = "a process that reads pictures ended: it was killed, perhaps for want of memory"
                raise StorageError(said, "run the same command again")
            for number, start, end in _RECORD.iter_unpack(records):
                self._places[number] = key.data, start, end
                done(number)


def serve(answer: Callable[[Any], Iterable[bytes | memoryview]]) -> None:
    """The workers: what this process has imported is theirs, too. They answer requests until who asks is gone."""
    asked, *ends = map(int, sys.argv[1:])
    workers = list(zip(ends[::2], ends[1::2], strict=True))
    told, says = workers[0]
    for other in workers[1:]:
        if not os.fork():
            told, says = other
            break
    for _, end in workers:
        if end != says:
            os.close(end)  # or nobody would hear that its worker is gone
    with suppress(BrokenPipeError):
        _serve(answer, asked, told, says)
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _serve(answer: Callable[[Any], Iterable[bytes | memoryview]], asked: int, told: int, says: int) -> None:
    start = 0
    while record := os.read(0, _RECORD.size):
        number, begin, end = _RECORD.unpack(record)
        content = memoryview(b"".join(answer(json.loads(os.pread(asked, end - begin, begin)))))
        end = start + len(content)
        while content:
            content = content[os.pwrite(told, content, end - len(content)) :]
        os.write(says, _RECORD.pack(number, start, end))
        start = end


def _end(process: subprocess.Popen[bytes], failed: type[BaseException] | None, *_: object) -> None:
    """Have the workers end: by themselves where they have nothing to do, which they notice at once."""
    assert process.stdin is not None
    process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(0 if failed else _PATIENCE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ends(ours: ExitStack, theirs: ExitStack) -> _Ends:
    says, there = os.pipe()
    ours.callback(os.close, says)
    theirs.callback(os.close, there)
    return _Ends(_memory(ours), there, says)


def _memory(stack: ExitStack) -> int:
    """A file without a name, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("tidemill")
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    stack.callback(os.close, handle)
    return handle
