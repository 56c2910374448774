"""Batches of pictures that are decoded while training goes on: for sets that the cache cannot hold.

The slices of the shards come in an order drawn from seed and epoch; a few at a time make a window, among whose rows
order is mixed again. While batches are taken from one window the next is decoded: two of them are in memory, no more.
What a batch holds depends on none of the workers' number, speed or death.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from tidemill.backends.families.networks.ahead import ahead
from tidemill.backends.families.networks.batches import Augment, Raw, Source, mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from tidemill.backends.families.pictures.pool import Decoding
    from tidemill.dataset.slices import Slice


_RISE = 4  # the first window is 1/16 of the others, the second 1/8, and so on


class Window(NamedTuple):
    """Slices that are decoded together, and the positions of their rows in the split, in the order of the epoch."""

    parts: Sequence[Slice]
    rows: NDArray[np.int64]


class Held(NamedTuple):
    """A decoded window: row `rows[i]` of the split is `pixels[places[i]]`."""

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    pixels: NDArray[np.uint8]


class _Begun:
    """A window while its slices come in, in any order."""

    def __init__(self, window: Window, shape: tuple[int, int, int]) -> None:
        lengths = [len(part) for part in window.parts]
        self._window, self._left = window, len(lengths)
        self._starts = dict(zip(window.parts, (np.cumsum(lengths) - lengths).tolist(), strict=True))
        self._pixels = np.empty((sum(lengths), *shape), np.uint8)

    @property
    def complete(self) -> bool:
        return not self._left

    def add(self, part: Slice, pixels: NDArray[np.uint8]) -> None:
        start = self._starts[part]
        self._pixels[start : start + len(part)] = pixels
        self._left -= 1

    def held(self) -> Held:
        firsts = np.array([part.first for part in self._window.parts])
        starts = np.array(list(self._starts.values()))
        order = firsts.argsort()
        which = order[np.searchsorted(firsts[order], self._window.rows, side="right") - 1]
        return Held(self._window.rows, starts[which] + self._window.rows - firsts[which], self._pixels)


class StreamedPictures(Source):
    """Batches of the rows `chosen` (all of them when None) of the slices `parts`.

    `targets` int64 are those of the whole split; `window` is how many decoded bytes are mixed.
    """

    def __init__(
        self, parts: Sequence[Slice], decoding: Decoding, targets: Tensor, size: int, *, window: int,
        shuffle: bool = False, seed: int = 0, augment: Augment | None = None, chosen: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__(size, seed, augment)
        self._parts, self._decoding, self._targets, self._shuffle = parts, decoding, targets, shuffle
        self._wanted = np.ones(len(targets), bool)
        if chosen is not None:
            self._wanted[:] = False
            self._wanted[chosen.numpy()] = True
        self._window = max(1, window // int(np.prod(decoding.shape)))

    @property
    def taken(self) -> Tensor:
        """As `Source.taken`."""
        return self._targets[torch.from_numpy(self._wanted)]

    @property
    def ready(self) -> int:
        """Two windows of them."""
        return min(len(self), 2 * self._window // self.size + 1)

    def __len__(self) -> int:
        full, rest = divmod(int(self._wanted.sum()), self.size)
        return max(1, full + (rest > 1 or (rest == 1 and not self._shuffle)))

    def _batches(self, epoch: int, first: int) -> Iterator[Raw]:
        skip, steps = first * self.size, len(self) - first
        windows = self._windows(epoch)
        while windows and skip >= len(windows[0].rows):
            skip -= len(windows.pop(0).rows)
        held = ahead(self._decoded(windows), 1)
        for number, (rows, pixels) in enumerate(self._cut(held, skip)):
            if number == steps:  # a last row alone: batch normalisation has no variance there
                break
            index = torch.from_numpy(rows)
            yield Raw(index, (torch.from_numpy(pixels),), self._targets[index])

    def _windows(self, epoch: int) -> list[Window]:
        """The order of an epoch. Slices without a wanted row are not decoded at all.

        The first windows are small, so that the first batch need not wait for a large one.
        """
        generator = np.random.Generator(np.random.PCG64(mixed(self.seed, epoch)))
        order = generator.permutation(len(self._parts)) if self._shuffle else range(len(self._parts))
        windows: list[Window] = []
        parts: list[Slice] = []
        held = 0
        for each in (self._parts[int(number)] for number in order):
            if self._wanted[each.first : each.first + len(each)].any():
                if parts and held + len(each) > self._window >> max(0, _RISE - len(windows)):
                    windows.append(self._mixed(parts, generator))
                    parts, held = [], 0
                parts.append(each)
                held += len(each)
        return [*windows, self._mixed(parts, generator)] if parts else windows

    def _mixed(self, parts: Sequence[Slice], generator: np.random.Generator) -> Window:
        rows = np.concatenate([np.arange(each.first, each.first + len(each)) for each in parts])
        rows = rows[self._wanted[rows]]
        return Window(parts, generator.permutation(rows) if self._shuffle else rows)

    def _decoded(self, windows: Sequence[Window]) -> Iterator[Held]:
        """The windows in order. One crew decodes the slices of all of them, and so starts once an epoch."""
        owner = {part: number for number, window in enumerate(windows) for part in window.parts}
        begun: dict[int, _Begun] = {}
        turn = 0
        for part, pixels in self._decoding.decoded(list(owner)):
            number = owner[part]
            if number not in begun:
                begun[number] = _Begun(windows[number], self._decoding.shape)
            begun[number].add(part, pixels)
            while turn in begun and begun[turn].complete:
                yield begun.pop(turn).held()
                turn += 1

    def _cut(self, windows: Iterator[Held], skip: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Batches of `size` rows, without the first `skip`; a batch may begin in one window and end in the next."""
        rows: list[NDArray[np.int64]] = []
        pixels: list[NDArray[np.uint8]] = []
        missing = self.size
        for held in windows:
            start, skip = skip, 0
            while start < len(held.rows):
                stop = min(start + missing, len(held.rows))
                rows.append(held.rows[start:stop])
                pixels.append(held.pixels.take(held.places[start:stop], axis=0))
                missing -= stop - start
                start = stop
                if not missing:
                    yield np.concatenate(rows), pixels[0] if len(pixels) == 1 else np.concatenate(pixels)
                    rows, pixels, missing = [], [], self.size
        if rows:
            yield np.concatenate(rows), np.concatenate(pixels)
