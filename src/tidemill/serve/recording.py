"""An answer leaves when it is in the log, and a log that is stuck holds nothing else up.

What the sink takes in a moment is written on the event loop's thread: another thread would cost more than the writing,
twice the time of a small model's answer. All else is for the log's own thread.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from tidemill.errors import StorageError

if TYPE_CHECKING:
    from tidemill.ports import Answered, PredictionSink

PATIENCE = 5.0  # seconds for a write; longer, and answers are refused until the log is well again
_AT_ONCE = 64  # batches in one write
_MOST = 256 << 20  # bytes of requests that wait

Written = Callable[[StorageError | None], None]
"""Hears, on the event loop's thread, that a batch is in the log, or why it is not."""


class _Waiting(NamedTuple):
    answered: Answered
    written: Written
    since: float
    size: int


class Recorder:
    """Writes batches to `sink`, at once or in the order in which they come; what waits is written together.

    With `unlogged`, what cannot be written is answered all the same, and it hears of each such batch.
    """

    def __init__(self, sink: PredictionSink, unlogged: Callable[[], None] | None = None) -> None:
        self._sink = sink
        self._unlogged = unlogged
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._unwritten: dict[int, _Waiting] = {}  # by identity; the oldest first; the loop's thread alone changes it
        self._held = 0  # bytes of requests in the queue, those too that nobody waits for any more
        self._watched = False
        self._writing: float | None = None  # since when the thread writes
        self.failed: float | None = None  # when, by time.monotonic()
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    @property
    def stuck(self) -> bool:
        """Whether a write takes longer than it may: also when nobody waits for it any more."""
        since = self._writing
        return since is not None and time.monotonic() - since > PATIENCE

    @property
    def refuses(self) -> bool:
        """Whether nothing is answered now."""
        return self.stuck and self._unlogged is None

    def put(self, answered: Answered, written: Written) -> None:
        """Have a batch written, now where that can be. On the event loop's thread."""
        if self._at_once(answered, written):
            return
        size = sum(len(each.content) for each in answered.asked)
        if self._held + size > _MOST or (self._unlogged is not None and self.stuck):
            self._tell_one(written, _late())  # what waits for such a disk would fill the memory
            return
        self._held += size
        waiting = _Waiting(answered, written, time.monotonic(), size)
        self._unwritten[id(waiting)] = waiting
        self._queue.put(waiting)
        if not self._watched:
            self._watched = True
            self._loop.call_later(PATIENCE, self._watch)

    def close(self) -> None:
        """Write what waits, and end."""
        self._queue.put(None)

    def join(self) -> None:
        """Wait until everything is written, or cannot be."""
        self._thread.join()

    def _at_once(self, answered: Answered, written: Written) -> bool:
        error: StorageError | None = None
        try:
            if not self._sink.answered_at_once(answered):
                return False
        except Exception as failure:  # as in `_write`
            error = _failure(failure)
        self._tell_one(written, error)
        return True

    def _tell_one(self, written: Written, error: StorageError | None) -> None:
        if error is not None:
            self.failed = time.monotonic()
            if self._unlogged is not None:
                self._unlogged()
                error = None
        written(error)

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, ends = [first], False
            while len(batch) < _AT_ONCE and not self._queue.empty():
                more = self._queue.get()
                if more is None:
                    ends = True
                    break
                batch.append(more)
            self._write(batch)
            if ends:
                return

    def _write(self, batch: list[_Waiting]) -> None:
        error: StorageError | None = None
        self._writing = time.monotonic()
        try:
            self._sink.answered([each.answered for each in batch])
        except Exception as failure:  # whatever it is, nothing is answered that is not in the log
            error = _failure(failure)
        finally:
            self._writing = None
        self._loop.call_soon_threadsafe(self._tell, batch, error)

    def _tell(self, batch: list[_Waiting], error: StorageError | None) -> None:
        for each in batch:
            self._held -= each.size
            if self._unwritten.pop(id(each), None) is not None:
                self._tell_one(each.written, error)

    def _watch(self) -> None:
        """Give up on what has waited too long: the client hears of it, and a later success does no harm."""
        now = time.monotonic()
        late = [key for key, each in self._unwritten.items() if now - each.since > PATIENCE]
        for key in late:
            self._tell_one(self._unwritten.pop(key).written, _late())
        self._watched = bool(self._unwritten)
        if self._watched:
            self._loop.call_later(1.0, self._watch)


def _late() -> StorageError:
    return StorageError("the prediction log is slower than what comes", "look at the disk that holds it")


def _failure(error: Exception) -> StorageError:
    if isinstance(error, StorageError):
        return error
    return StorageError(f"writing the prediction log failed: {error}", "look at the server's messages")
