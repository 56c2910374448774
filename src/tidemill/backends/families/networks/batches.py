"""Batches of an epoch: what training asks of a source of them, and the source whose rows lie in memory or are mapped.

The contract of every source (`BatchSource`): the same seed, epoch and step give the same batch, bit for bit, its
augmentation included, whatever was iterated before. So a training that was killed goes on in the middle of an epoch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from tidemill.backends.families.networks.ahead import moved_ahead

Batch = tuple[tuple[Tensor, ...], Tensor]
"""Inputs in the order of the graph's, each [N, ...], and targets int64 [N]."""
Augment = Callable[[tuple[Tensor, ...], "Draw"], tuple[Tensor, ...]]

_CHUNK = 16  # batches among which sentences are ordered by length


class BatchSource(Protocol):
    """Yields the batches of one epoch each time it is iterated; each iteration is the next epoch unless told."""

    @property
    def taken(self) -> Tensor:
        """The targets of the rows of an epoch, int64 [N], in any order."""

    def __len__(self) -> int:
        """Steps of an epoch."""

    def set_epoch(self, epoch: int) -> None:
        """The next iteration yields this epoch, counted from 0, from its first step."""

    def start_at(self, step: int) -> None:
        """The next iteration, and only that, begins with this step, counted from 0."""

    def to(self, device: torch.device) -> None:
        """Batches lie on `device` from now on."""

    def __iter__(self) -> Iterator[Batch]: ...


class Draw(NamedTuple):
    """What the augmentation of a batch may depend on.

    `generator` is the batch's own, on the CPU whatever the device, so that every device draws the same; `rows`
    int64 [N] are the positions of the pictures in their split.
    """

    generator: torch.Generator
    rows: Tensor
    epoch: int
    seed: int


class Raw(NamedTuple):
    """A batch before it is augmented, with the positions of its rows."""

    rows: Tensor
    inputs: tuple[Tensor, ...]
    targets: Tensor


class Source(ABC):
    """What all sources share: epochs, the device, and augmentation that depends on nothing but seed, epoch and step."""

    def __init__(self, size: int, seed: int, augment: Augment | None) -> None:
        self.size, self.seed, self.augment = size, seed, augment
        self.device = torch.device("cpu")
        self._epoch = self._step = 0

    @property
    def ready(self) -> int:
        """Batches that may lie ready, made before they are asked for."""
        return 0

    @property
    @abstractmethod
    def taken(self) -> Tensor:
        """The targets of the rows of an epoch, int64 [N], in any order."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _batches(self, epoch: int, first: int) -> Iterator[Raw]:
        """The batches of `epoch` from step `first` on, on the CPU."""

    def set_epoch(self, epoch: int) -> None:
        """The next iteration yields this epoch, counted from 0, from its first step."""
        self._epoch, self._step = epoch, 0

    def start_at(self, step: int) -> None:
        """The next iteration, and only that, begins with this step, counted from 0."""
        self._step = step

    def to(self, device: torch.device) -> None:
        """Batches lie on `device` from now on."""
        self.device = device

    def __iter__(self) -> Iterator[Batch]:
        epoch, first = self._epoch, self._step
        self.set_epoch(epoch + 1)
        return self._augmented(epoch, first)

    def _augmented(self, epoch: int, first: int) -> Iterator[Batch]:
        batches = moved_ahead(self._batches(epoch, first), self.device)
        for step, (rows, inputs, targets) in enumerate(batches, first):
            if self.augment is None:
                yield inputs, targets
                continue
            generator = torch.Generator().manual_seed(mixed(self.seed, epoch, step))
            yield self.augment(inputs, Draw(generator, rows, epoch, self.seed)), targets


@dataclass
class Rows:
    """`inputs`, each [N, ...], in the order of the graph's inputs, and `targets` int64 [N].

    They may be mapped from a file: then taking rows reads them.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, index: Tensor) -> Rows:
        return Rows(tuple(each.index_select(0, index) for each in self.inputs), self.targets[index])


class Batches(Source):
    """Batches of `rows` by tensor indexing; nothing is done row by row. With `shuffle` each epoch has its own order.

    `lengths` int64 [N] are the tokens of each row: batches then hold rows of like length, cut to the longest. `chosen`
    int64 are the positions of the rows to take, when not all are.
    """

    def __init__(
        self, rows: Rows, size: int, *, shuffle: bool = False, seed: int = 0, augment: Augment | None = None,
        lengths: Tensor | None = None, chosen: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__(size, seed, augment)
        self.rows, self.shuffle, self.lengths, self._chosen = rows, shuffle, lengths, chosen

    @property
    def taken(self) -> Tensor:
        """As `Source.taken`."""
        return self.rows.targets if self._chosen is None else self.rows.targets[self._chosen]

    def __len__(self) -> int:
        full, rest = divmod(len(self.rows) if self._chosen is None else len(self._chosen), self.size)
        return max(1, full + (rest > 1 or (rest == 1 and not self.shuffle)))

    def _batches(self, epoch: int, first: int) -> Iterator[Raw]:
        for index in self._order(epoch)[first:]:
            batch = self.rows.take(index)
            inputs = batch.inputs
            if self.lengths is not None:
                longest = int(self.lengths[index].max())
                inputs = tuple(each[:, :longest] for each in inputs)
            yield Raw(index, inputs, batch.targets)

    def _order(self, epoch: int) -> Sequence[Tensor]:
        chosen = torch.arange(len(self.rows)) if self._chosen is None else self._chosen
        if not self.shuffle:
            return torch.split(chosen, self.size)
        generator = torch.Generator().manual_seed(self.seed + 7919 * epoch)
        order = chosen[torch.randperm(len(chosen), generator=generator)]
        if self.lengths is None:
            batches = list(torch.split(order, self.size))
        else:
            batches = []
            for chunk in torch.split(order, self.size * _CHUNK):
                batches += torch.split(chunk[self.lengths[chunk].argsort(stable=True)], self.size)
            single = [batch for batch in batches if len(batch) == 1]
            batches = [batch for batch in batches if len(batch) > 1] or single
            batches = [batches[i] for i in torch.randperm(len(batches), generator=generator)]
        # batch normalisation has no variance in a batch of one row
        return [batch for batch in batches if len(batch) > 1] or batches


def mixed(*numbers: int) -> int:
    """One seed of several numbers: near ones give unrelated seeds (SplitMix64, Steele et al. 2014)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


_MASK = (1 << 64) - 1
