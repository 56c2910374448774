"""Light augmentation of a whole batch of pictures at once, on the device they lie on: uint8 [N, H, W, C] to the same.

Mirroring and moving only say which pixel comes from where; they are joined and done in one gathering. Every number
that is drawn is drawn on the CPU, so that every device augments alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import grid_sample

from tidemill.backends.families.networks.batches import mixed

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.backends.families.networks.batches import Augment, Draw
    from tidemill.config.schema import DataConfig

_SEPARABLE = ("flip", "alternate_flip", "shift")


def augmentation(settings: DataConfig) -> Augment | None:
    """What `data.augment` names, in its order but that mirroring and moving come first; None for "none"."""
    names = [name for name in settings.augment.split("+") if name != "none"]
    return Augmentation(tuple(names), settings) if names else None


@dataclass(frozen=True)
class Augmentation:
    """Augments the pictures of a batch by each of `names`."""

    names: Sequence[str]
    settings: DataConfig

    def __call__(self, inputs: tuple[Tensor, ...], draw: Draw) -> tuple[Tensor, ...]:
        """The first input is the pictures; what else there is stays."""
        image, *others = inputs
        image = self._moved(image, draw)
        for name in self.names:
            if name == "crop":
                image = _crop(image, draw, self.settings.augment_crop)
            elif name == "cutout":
                image = _cutout(image, draw, self.settings.augment_cutout)
            elif name == "jitter":
                image = _jitter(image, draw, self.settings.augment_jitter)
        return image, *others

    def _moved(self, image: Tensor, draw: Draw) -> Tensor:
        """Mirrored and moved: row `y` [N, H] and column `x` [N, W] of the picture that a pixel is taken from."""
        if not set(self.names) & set(_SEPARABLE):
            return image
        number, height, width, channels = image.shape
        y, x = torch.arange(height).expand(number, -1), torch.arange(width).expand(number, -1)
        if "flip" in self.names:
            x = _mirrored(x, torch.rand(number, generator=draw.generator) < 0.5)
        if "alternate_flip" in self.names:
            x = _mirrored(x, alternating(draw))
        if "shift" in self.names:
            reach = self.settings.augment_pixels or max(1, min(height, width) // 8)
            down, right = torch.randint(-reach, reach + 1, (2, number, 1), generator=draw.generator)
            y, x = (y + down).clamp(0, height - 1), (x + right).clamp(0, width - 1)
        y, x = y.to(image.device), x.to(image.device)
        which = torch.arange(number, device=image.device).view(-1, 1, 1) * height
        source = ((which + y.unsqueeze(2)) * width + x.unsqueeze(1)).view(-1)
        return image.reshape(-1, channels).index_select(0, source).view(image.shape)


def _mirrored(x: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, 1), x.flip(1), x)


def alternating(draw: Draw) -> Tensor:
    """bool [N]: which pictures are mirrored in this epoch: each by chance in epoch 0, then every second time.

    Two epochs then show both forms of each picture (Keller Jordan, "94% on CIFAR-10 in 3.29 seconds", 2024).
    """
    coin = torch.Generator().manual_seed(mixed(draw.seed, 1))
    offset = int(torch.randint(1 << 30, (1,), generator=coin))
    scrambled = ((draw.rows + offset) * 0x5851F42D4C957F2D) >> 40  # int64 wraps: a multiplicative hash of the row
    return ((scrambled + draw.epoch) & 1).bool()


def _crop(image: Tensor, draw: Draw, smallest: float) -> Tensor:
    """A part of each picture, of a random place and of an area of at least `smallest`, scaled up to the whole."""
    number, height, width, _ = image.shape
    area, ratio = torch.rand(2, number, generator=draw.generator)
    side = (smallest + (1 - smallest) * area).sqrt()
    ratio = (4 / 3) ** (ratio - 0.5)  # of the sides, from about 0.87 to 1.15
    scale = torch.stack((side * ratio, side / ratio), 1).clamp(max=1.0)
    centre = (torch.rand(number, 2, generator=draw.generator) * 2 - 1) * (1 - scale)
    (x_scale, y_scale), (x_centre, y_centre) = (each.to(image.device).unbind(1) for each in (scale, centre))
    x = _axis(width, image.device) * x_scale.view(-1, 1) + x_centre.view(-1, 1)
    y = _axis(height, image.device) * y_scale.view(-1, 1) + y_centre.view(-1, 1)
    grid = torch.stack(
        (x.unsqueeze(1).expand(-1, height, -1), y.unsqueeze(2).expand(-1, -1, width)), 3
    )  # [N, H, W, 2] in [-1, 1]
    pixels = image.permute(0, 3, 1, 2).float()
    cut = grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    scaled: Tensor = cut.round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return scaled


def _axis(length: int, device: torch.device) -> Tensor:
    """The middles of `length` pixels in [-1, 1]."""
    return (torch.arange(length, device=device) * 2 + 1) / length - 1


def _cutout(image: Tensor, draw: Draw, share: float) -> Tensor:
    """A grey square somewhere in each picture, of `share` of its sides (DeVries and Taylor, 2017)."""
    number, height, width, _ = image.shape
    tall, wide = max(1, round(height * share)), max(1, round(width * share))
    top, left = torch.rand(2, number, generator=draw.generator)
    top = (top * (height - tall + 1)).long().view(-1, 1).to(image.device)
    left = (left * (width - wide + 1)).long().view(-1, 1).to(image.device)
    y, x = torch.arange(height, device=image.device), torch.arange(width, device=image.device)
    rows, columns = (y >= top) & (y < top + tall), (x >= left) & (x < left + wide)
    return image.masked_fill((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(3), 128)


def _jitter(image: Tensor, draw: Draw, strength: float) -> Tensor:
    """Brightness and contrast of each picture changed by factors from 1 - `strength` to 1 + `strength`."""
    factors = 1 + (torch.rand(2, len(image), 1, 1, 1, generator=draw.generator) * 2 - 1) * strength
    brightness, contrast = factors.to(image.device)
    pixels = image.float()
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    changed: Tensor = ((pixels - mean) * contrast + mean * brightness).round_().clamp_(0, 255).to(torch.uint8)
    return changed
