"""Light augmentation of a whole batch of pictures at once: uint8 [N, H, W, C] to the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import pad

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.backends.families.networks.batches import Augment


def augmentation(name: str) -> Augment | None:
    """The one called `name`, or None for "none"."""
    return {"none": None, "flip": flip, "shift": shift}[name]


def flip(inputs: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
    """Half of the pictures mirrored left to right."""
    (image,) = inputs
    chosen = torch.rand(len(image), generator=generator) < 0.5
    return (torch.where(chosen.view(-1, 1, 1, 1), image.flip(2), image),)


def shift(inputs: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
    """Each picture moved by up to an eighth of its sides, its border repeated."""
    (image,) = inputs
    number, height, width, channels = image.shape
    reach = max(1, min(height, width) // 8)
    padded = pad(image.permute(0, 3, 1, 2).float(), (reach,) * 4, mode="replicate").to(torch.uint8)
    down, right = torch.randint(0, 2 * reach + 1, (2, number), generator=generator)
    rows = (down.view(-1, 1) + torch.arange(height)).view(number, 1, height, 1)
    columns = (right.view(-1, 1) + torch.arange(width)).view(number, 1, 1, width)
    which = torch.arange(number).view(number, 1, 1, 1)
    moved = padded[which, torch.arange(channels).view(1, channels, 1, 1), rows, columns]
    return (moved.permute(0, 2, 3, 1).contiguous(),)
