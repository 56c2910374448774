"""A small convolutional network for small pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from tidemill.backends.families.models.convolution import ConvNorm, halvings

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.config.architectures import SmallCnn


class SmallCnnNetwork(nn.Module):
    """Three blocks of two convolutions, pooled while the picture is large enough, then the mean over the picture."""

    def __init__(self, params: SmallCnn, *, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        times = halvings(height, width, down_to=4)
        inside = channels
        for number in range(3):
            outside = params.channels * 2**number
            blocks += [ConvNorm(inside, outside), ConvNorm(outside, outside)]
            if number < times:
                blocks.append(nn.MaxPool2d(2))
            inside = outside
        self.features = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(params.dropout)
        self.head = nn.Linear(inside, classes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [N, C, H, W], normalised, to logits [N, classes] and embedding [N, 4 x channels]."""
        embedding = self.features(pixels).mean(dim=(2, 3))
        return self.head(self.dropout(embedding)), embedding
