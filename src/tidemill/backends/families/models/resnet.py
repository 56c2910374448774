"""ResNet-18: He, Zhang, Ren and Sun, 'Deep residual learning for image recognition' (2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from tidemill.backends.families.models.convolution import ConvNorm, halvings

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.config.architectures import ResNet18


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is projected where the shape changes."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, channels, stride=stride)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, pixels: Tensor) -> Tensor:
        return nn.functional.relu(self.second(self.first(pixels)) + self.shortcut(pixels))


class ResNet18Network(nn.Module):
    """Four stages of two blocks. From 64 pixels on the paper's stem; below, one 3 x 3 convolution at full size."""

    def __init__(self, params: ResNet18, *, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        inside = params.channels
        if min(height, width) >= 64:
            self.stem: nn.Module = nn.Sequential(ConvNorm(channels, inside, size=7, stride=2), nn.MaxPool2d(3, 2, 1))
        else:
            self.stem = ConvNorm(channels, inside)
        times = halvings(height, width, down_to=2)
        blocks: list[nn.Module] = []
        for stage in range(4):
            outside = params.channels * 2**stage
            stride = 2 if 0 < stage <= times else 1
            blocks += [BasicBlock(inside, outside, stride), BasicBlock(outside, outside, 1)]
            inside = outside
        self.stages = nn.Sequential(*blocks)
        self.head = nn.Linear(inside, classes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [N, C, H, W], normalised, to logits [N, classes] and embedding [N, 8 x channels]."""
        embedding = self.stages(self.stem(pixels)).mean(dim=(2, 3))
        return self.head(embedding), embedding
