"""A network for small pictures that learns in few passes (Jordan, 2024: "94% on CIFAR-10 in 3.29 Seconds").

The first layer is fixed: it whitens patches of 2 x 2 pixels. Its widths are settings, so that a CPU can bear it, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.config.architectures import Airbench

_SIDE = 2  # of a patch, pixels
_FLOOR = 5e-4  # added to the variance of a direction before it is whitened, as the paper does
_SCALE = 1 / 9  # of the logits


class AirbenchNetwork(nn.Module):
    """Whitening, then groups of two convolutions with one pooling each, then the largest value over the picture."""

    def __init__(self, params: Airbench, *, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        patch = channels * _SIDE**2
        self.whiten = nn.Conv2d(channels, 2 * patch, _SIDE, bias=False)
        self.whiten.weight.requires_grad_(False)
        groups: list[nn.Module] = []
        inside, side = 2 * patch, min(height, width) - 1
        for outside in params.widths:
            groups.append(_Group(inside, outside, pool=side >= 4))
            inside, side = outside, side // 2 if side >= 4 else side
        self.groups = nn.Sequential(*groups)
        self.head = nn.Linear(inside, classes, bias=False)
        self.mirror = params.mirror

    def initialise(self, pixels: Tensor) -> None:
        """Set the whitening from float32 [N, C, H, W], normalised: the main directions of its patches, both signs."""
        patches = pixels.unfold(2, _SIDE, 1).unfold(3, _SIDE, 1).permute(0, 2, 3, 1, 4, 5)
        flat = patches.reshape(-1, self.whiten.weight[0].numel()).double()
        values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
        filters = (vectors / (values.clamp_min(0) + _FLOOR).sqrt()).T.flip(0)
        filters = filters.reshape(-1, *self.whiten.weight.shape[1:]).to(self.whiten.weight.dtype)
        with torch.no_grad():
            self.whiten.weight.copy_(torch.cat([filters, -filters]))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [N, C, H, W], normalised, to logits [N, classes] and embedding [N, last width].

        While it is not training, both are means over the picture and its mirror image, if so set.
        """
        embedding = self._embedding(pixels)
        if self.mirror and not self.training:
            embedding = (
                embedding + self._embedding(pixels.flip(3))
            ) / 2  # the head is linear: its logits are means, too
        return self.head(embedding) * _SCALE, embedding

    def _embedding(self, pixels: Tensor) -> Tensor:
        return self.groups(nn.functional.gelu(self.whiten(pixels))).amax(dim=(2, 3))  # type: ignore[no-any-return]  # a Sequential's answer is untyped


class _Group(nn.Module):
    """[N, C, H, W] to [N, width, H / 2, W / 2]; the batch's statistics count for 0.4 in the running ones."""

    def __init__(self, inputs: int, width: int, *, pool: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        self.first_norm = nn.BatchNorm2d(width, momentum=0.4)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width, momentum=0.4)

    def forward(self, pixels: Tensor) -> Tensor:
        inside = nn.functional.gelu(self.first_norm(self.pool(self.first(pixels))))
        return nn.functional.gelu(self.second_norm(self.second(inside)))
