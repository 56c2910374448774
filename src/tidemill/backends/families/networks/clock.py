"""A reporter that clocks the steps of a training, and ends it when it has seen enough of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch

from tidemill.ports import StopTraining, Times

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.backends.families.networks.batches import Batch, BatchSource
    from tidemill.backends.families.networks.fit import Splits
    from tidemill.ports import Reporter

_FEWEST = 2  # steps that are clocked, however long they take
_COPIES = 5  # of a batch to the device, of which the median counts


class Clock:
    """Give it to a family's `fit` as its reporter; `fit` raises StopTraining, then `times` says where time went.

    The first steps, `warmup` of them or a third of `seconds`, are not counted. Then steps are, until there are `steps`
    of them or `seconds` are over. What `report` is told is the logging. Nothing is validated.
    """

    def __init__(self, report: Reporter, *, warmup: int, steps: int, seconds: float) -> None:
        self._report, self._warmup, self._most, self._seconds = report, warmup, steps, seconds
        self._data = self._body = 0.0
        self._steps = self._rows = self._calls = self._seen = 0
        self._began, self._counting = 0.0, False
        self._transfer = self._in_step = self._at_end = 0.0
        self._within = False  # an epoch
        self.epoch = 1  # steps of an epoch
        self.ready = 0  # batches that may be made before they are asked for: more than 0 when pictures are streamed
        self.threads = torch.get_num_threads()

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Handed on, and clocked: a call at the end of an epoch counts once for all steps of a whole epoch."""
        began = time.perf_counter()
        self._report.metrics(values, step)
        spent = time.perf_counter() - began
        if self._within:
            self._in_step += spent
        else:
            self._at_end += spent
            self._calls += 1

    def progress(self, done: int, total: int, note: str) -> None:
        """Handed on, and clocked."""
        began = time.perf_counter()
        self._report.progress(done, total, note)
        if self._within:
            self._in_step += time.perf_counter() - began

    def watched(self, splits: Splits) -> Splits:
        """The same splits, clocked, and nothing to validate on."""
        self.epoch, self.ready = len(splits.train), getattr(splits.train, "ready", 0)
        self.threads, self._warmup = torch.get_num_threads(), max(self._warmup, self.ready)
        return splits._replace(train=_Clocked(splits.train, self), val=None)

    def steps_of(self, batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
        """The same batches. The work between two of them is what is done with the first. Raises StopTraining."""
        mark = time.perf_counter()
        self._began = self._began or mark
        for batch in batches:
            now = _after(device)
            self._data += now - mark if self._counting else 0.0
            self._within = True
            yield batch
            self._within = False
            mark = _after(device)
            self._seen += 1
            if self._counting:
                self._count(batch, mark - now, device)
            elif self._seen >= self._warmup or mark - self._began > self._seconds / 3:
                self._counting, self._in_step, self._began = True, 0.0, mark

    def _count(self, batch: Batch, seconds: float, device: torch.device) -> None:
        self._steps += 1
        self._rows += len(batch[1])
        self._body += seconds
        late = time.perf_counter() - self._began > self._seconds
        if self._steps >= self._most or (self._steps >= _FEWEST and late):
            self._transfer = _transfer_seconds(batch, device)
            raise StopTraining("enough was seen")

    @property
    def times(self) -> Times:
        """Seconds of the clocked steps by what they went into."""
        per_epoch = self._at_end / self._calls if self._calls else 0.0
        transfer = min(self._transfer * self._steps, self._data)
        return Times(
            steps=self._steps, rows=self._rows, data=self._data - transfer, transfer=transfer,
            compute=max(0.0, self._body - self._in_step),
            logging=self._in_step + per_epoch * self._steps / self.epoch,
        )  # fmt: skip

    @property
    def logged(self) -> bool:
        """Whether the end of an epoch was among what was seen."""
        return self._calls > 0


def _after(device: torch.device) -> float:
    """The time when `device` has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class _Clocked:
    """A BatchSource whose iterations are clocked."""

    def __init__(self, source: BatchSource, clock: Clock) -> None:
        self._source, self._clock, self._device = source, clock, torch.device("cpu")

    @property
    def taken(self) -> Tensor:
        """As the source's."""
        return self._source.taken

    def __len__(self) -> int:
        return len(self._source)

    def set_epoch(self, epoch: int) -> None:
        self._source.set_epoch(epoch)

    def start_at(self, step: int) -> None:
        self._source.start_at(step)

    def to(self, device: torch.device) -> None:
        self._device = device
        self._source.to(device)

    def __iter__(self) -> Iterator[Batch]:
        return self._clock.steps_of(iter(self._source), self._device)


def _transfer_seconds(batch: Batch, device: torch.device) -> float:
    """Seconds to copy a batch to `device`, alone; 0 on the CPU."""
    if device.type == "cpu":
        return 0.0
    host = [each.cpu().pin_memory() for each in (*batch[0], batch[1])]
    seconds = []
    for _ in range(_COPIES):
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        for each in host:
            each.to(device, non_blocking=True)
        torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[_COPIES // 2]
