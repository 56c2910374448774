"""Batches by tensor indexing: everything lies in memory once, decoded; nothing is done row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    Augment = Callable[[tuple[Tensor, ...], torch.Generator], tuple[Tensor, ...]]

_CHUNK = 16  # batches among which sentences are ordered by length


@dataclass
class Rows:
    """`inputs`, each [N, ...], in the order of the graph's inputs, and `targets` int64 [N]."""

    inputs: tuple[Tensor, ...]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, index: Tensor) -> Rows:
        return Rows(tuple(each[index] for each in self.inputs), self.targets[index])


@dataclass
class Batches:
    """Iterates over (inputs, targets). With `shuffle` each pass draws a new order, the same for the same seed.

    `lengths` int64 [N] are the tokens of each row: batches then hold rows of like length, cut to the longest.
    """

    rows: Rows
    size: int
    shuffle: bool = False
    seed: int = 0
    augment: Augment | None = None
    lengths: Tensor | None = None
    passes: int = 0

    def __len__(self) -> int:
        full, rest = divmod(len(self.rows), self.size)
        return max(1, full + (rest > 1 or (rest == 1 and not self.shuffle)))

    def __iter__(self) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
        generator = torch.Generator().manual_seed(self.seed + 7919 * self.passes)
        self.passes += 1
        for index in self._order(generator):
            batch = self.rows.take(index)
            inputs = batch.inputs if self.augment is None else self.augment(batch.inputs, generator)
            if self.lengths is not None:
                longest = int(self.lengths[index].max())
                inputs = tuple(each[:, :longest] for each in inputs)
            yield inputs, batch.targets

    def _order(self, generator: torch.Generator) -> Sequence[Tensor]:
        number = len(self.rows)
        if not self.shuffle:
            return torch.split(torch.arange(number), self.size)
        order = torch.randperm(number, generator=generator)
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
