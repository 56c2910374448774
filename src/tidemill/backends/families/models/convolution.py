"""The block that the convolutional networks share, and how often a picture may be halved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class ConvNorm(nn.Module):
    """Convolution, batch normalisation, ReLU: [N, C, H, W] to [N, channels, H / stride, W / stride]."""

    def __init__(self, inputs: int, channels: int, *, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, channels, size, stride, padding=size // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, pixels: Tensor) -> Tensor:
        return nn.functional.relu(self.norm(self.convolution(pixels)))


def halvings(height: int, width: int, *, down_to: int) -> int:
    """How often both sides can be halved without the shorter one falling below `down_to` pixels."""
    side, times = min(height, width), 0
    while side // 2 >= down_to:
        side, times = side // 2, times + 1
    return times
