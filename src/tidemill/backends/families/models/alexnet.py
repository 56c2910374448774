"""AlexNet: Krizhevsky et al., 'ImageNet classification with deep convolutional neural networks' (2012)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from tidemill.backends.families.models.convolution import halvings

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.config.architectures import AlexNet


class AlexNetNetwork(nn.Module):
    """Five convolutions and three dense layers; at 224 pixels the paper's, below it strides and pooling give way.

    The dense layers are narrower than the paper's for pictures below 64 pixels, whose features are fewer.
    """

    def __init__(self, params: AlexNet, *, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        first, second, third, fourth, fifth = (max(8, round(each * params.width)) for each in (64, 192, 384, 256, 256))
        large = min(height, width) >= 64
        pools = 3 if large else min(3, halvings(height, width, down_to=2))
        stem = nn.Conv2d(channels, first, 11, 4, 2) if large else nn.Conv2d(channels, first, 3, 1, 1)
        after = _normalised if params.normalization else _plain
        layers: list[nn.Module] = [stem, *after(first), *_pool(large, pools >= 1)]
        layers += [nn.Conv2d(first, second, 5, padding=2), *after(second), *_pool(large, pools >= 2)]
        layers += [nn.Conv2d(second, third, 3, padding=1), *after(third)]
        layers += [nn.Conv2d(third, fourth, 3, padding=1), *after(fourth)]
        layers += [nn.Conv2d(fourth, fifth, 3, padding=1), *after(fifth), *_pool(large, pools >= 3)]
        self.features = nn.Sequential(*layers)
        dense = max(32, round((4096 if large else 512) * params.width))
        with_size = _sides(height, width, large=large, pools=pools)
        self.dense = nn.Sequential(
            nn.Dropout(params.dropout),
            nn.Linear(fifth * with_size[0] * with_size[1], dense),
            nn.ReLU(),
            nn.Dropout(params.dropout),
            nn.Linear(dense, dense),
            nn.ReLU(),
        )
        self.head = nn.Linear(dense, classes)
        self.apply(_initialise)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [N, C, H, W], normalised, to logits [N, classes] and embedding [N, width of the dense layers]."""
        embedding = self.dense(self.features(pixels).flatten(1))
        return self.head(embedding), embedding


def _plain(_: int) -> list[nn.Module]:
    return [nn.ReLU()]


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU()]


def _pool(large: bool, wanted: bool) -> list[nn.Module]:
    return [nn.MaxPool2d(3, 2) if large else nn.MaxPool2d(2)] if wanted else []


def _sides(height: int, width: int, *, large: bool, pools: int) -> tuple[int, int]:
    """The height and width that are left after the convolutions."""

    def left(side: int) -> int:
        if large:
            side = (side + 2 * 2 - 11) // 4 + 1
        for _ in range(pools):
            side = (side - 3) // 2 + 1 if large else side // 2
        return side

    return left(height), left(width)


def _initialise(layer: nn.Module) -> None:
    """He et al. (2015): without normalisation layers the default start is too small for five convolutions."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
