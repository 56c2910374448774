"""Working ahead in a thread: the next batches are read, and on a GPU copied over, while this one is computed with."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from tidemill.backends.families.networks.batches import Raw

T = TypeVar("T")
_DEPTH = 2  # batches that wait


def ahead(items: Iterator[T], depth: int = _DEPTH) -> Iterator[T]:
    """The same items, made by a thread: at most `depth` of them are there, or being made, before they are asked for.

    The thread ends when the consumer does. What it raises is raised here, at the item that it was raised for.
    """
    made: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
    room, stopped = threading.Semaphore(depth), threading.Event()

    def work() -> None:
        error: BaseException | None = None
        try:
            while room.acquire() and not stopped.is_set():
                made.put(next(items))
        except StopIteration:
            pass
        except BaseException as raised:
            error = raised
        finally:
            getattr(items, "close", _nothing)()  # a generator's own clean-up, in the thread that runs it
        made.put(_End(error))

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while not isinstance(item := made.get(), _End):
            room.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        room.release()
        thread.join()


def _nothing() -> None:
    """Items that are no generator have nothing to close."""


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def moved_ahead(batches: Iterator[Raw], device: torch.device) -> Iterator[Raw]:
    """`batches` on `device`. For a GPU they are read and copied ahead, on a stream beside the computation.

    On the CPU nothing is to be gained by a thread: it would take the cores that compute.
    """
    if device.type != "cuda":
        return (_on(batch, device) for batch in batches) if device.type != "cpu" else batches
    return _from_stream(batches, device)


def _on(batch: Raw, device: torch.device) -> Raw:
    return batch._replace(inputs=tuple(each.to(device) for each in batch.inputs), targets=batch.targets.to(device))


def _from_stream(batches: Iterator[Raw], device: torch.device) -> Iterator[Raw]:
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own

    def copied() -> Iterator[tuple[Raw, torch.cuda.Event]]:
        for batch in batches:
            pinned = [each.pin_memory() for each in (*batch.inputs, batch.targets)]
            with torch.cuda.stream(stream):
                *inputs, targets = (each.to(device, non_blocking=True) for each in pinned)
                event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's own
                event.record(stream)
            yield batch._replace(inputs=tuple(inputs), targets=targets), event

    for batch, event in ahead(copied()):
        here = torch.cuda.current_stream(device)
        here.wait_event(event)
        for each in (*batch.inputs, batch.targets):
            each.record_stream(here)  # its memory is not given away before the computation has used it
        yield batch
