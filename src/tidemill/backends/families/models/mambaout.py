"""MambaOut: Yu and Wang, 'MambaOut: Do we really need Mamba for vision?' (CVPR 2025).

Mamba's block without its state-space model is a gated convolution block; four stages of them classify pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.config.architectures import MambaOut

_SMALL = 64  # pixels: below it the stem keeps the picture's size


class MambaOutNetwork(nn.Module):
    """A stem, stages of gated blocks with a halving between them, the mean over the picture, and a head.

    From 64 pixels on the paper's stem, two convolutions of stride 2; below, the first one halves nothing.
    """

    def __init__(self, params: MambaOut, *, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        _check(params)
        small = min(height, width) < _SMALL
        side = min(height, width) if small else min(height, width) // 4
        rates = iter(torch.linspace(0, params.drop_path, sum(params.depths)).tolist())
        layers: list[nn.Module] = [_Stem(channels, params.dims[0], small=small)]
        for number, (dim, depth) in enumerate(zip(params.dims, params.depths, strict=True)):
            if number:
                stride = 2 if side >= 4 else 1
                side //= stride
                layers.append(_Halving(params.dims[number - 1], dim, stride))
            layers += [GatedBlock(dim, params, next(rates)) for _ in range(depth)]
        self.stages = nn.Sequential(*layers)
        last = params.dims[-1]
        self.norm = nn.LayerNorm(last)
        hidden = 4 * last if params.head == "mlp" else last
        between: list[nn.Module] = [nn.Linear(last, hidden), nn.GELU(), nn.LayerNorm(hidden)]
        self.between = nn.Sequential(*between) if params.head == "mlp" else nn.Identity()
        self.dropout = nn.Dropout(params.dropout)
        self.head = nn.Linear(hidden, classes)
        self.apply(_initialise)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [N, C, H, W], normalised, to logits [N, classes] and embedding [N, last of dims, or 4 x it]."""
        embedding = self.between(self.norm(self.stages(pixels).mean(dim=(1, 2))))
        return self.head(self.dropout(embedding)), embedding


class GatedBlock(nn.Module):
    """Figure 3 of the paper, [N, H, W, C] to the same: one branch, partly convolved, is gated by another.

    `conv_ratio` of the channels pass a depthwise convolution, as in InceptionNeXt; the others pass as they are.
    """

    def __init__(self, dim: int, params: MambaOut, drop: float) -> None:
        super().__init__()
        hidden = int(params.expansion * dim)
        convolved = max(1, int(params.conv_ratio * dim))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.widen = nn.Linear(dim, hidden * 2)
        self.splits = [hidden, hidden - convolved, convolved]
        self.convolution = nn.Conv2d(convolved, convolved, params.kernel, padding=params.kernel // 2, groups=convolved)
        self.narrow = nn.Linear(hidden, dim)
        self.drop = drop

    def forward(self, states: Tensor) -> Tensor:
        gate, passed, convolved = torch.split(self.widen(self.norm(states)), self.splits, dim=-1)
        convolved = self.convolution(convolved.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        inside = nn.functional.gelu(gate) * torch.cat((passed, convolved), dim=-1)
        return states + self._kept(self.narrow(inside))

    def _kept(self, states: Tensor) -> Tensor:
        """Stochastic depth (Huang et al., 2016): some pictures of a batch skip the block while it trains."""
        if not self.training or not self.drop:
            return states
        kept = torch.rand(len(states), 1, 1, 1, device=states.device) >= self.drop
        return states * kept / (1 - self.drop)


class _Stem(nn.Module):
    """[N, C, H, W] to [N, H', W', dim]."""

    def __init__(self, channels: int, dim: int, *, small: bool) -> None:
        super().__init__()
        first = 1 if small else 2
        self.first = nn.Conv2d(channels, dim // 2, 3, first, 1)
        self.first_norm = nn.LayerNorm(dim // 2, eps=1e-6)
        self.second = nn.Conv2d(dim // 2, dim, 3, first, 1)
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, pixels: Tensor) -> Tensor:
        states = self.first_norm(self.first(pixels).permute(0, 2, 3, 1))
        states = self.second(nn.functional.gelu(states).permute(0, 3, 1, 2))
        normed: Tensor = self.norm(states.permute(0, 2, 3, 1))
        return normed


class _Halving(nn.Module):
    """[N, H, W, inputs] to [N, H / stride, W / stride, dim]."""

    def __init__(self, inputs: int, dim: int, stride: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, dim, 3, stride, 1)
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, states: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.convolution(states.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return normed


def _check(params: MambaOut) -> None:
    if len(params.dims) != len(params.depths):
        raise ConfigError(
            f"model.params.dims has {len(params.dims)} stages and model.params.depths {len(params.depths)}",
            "give both as many values",
        )
    if params.kernel % 2 == 0:
        raise ConfigError(f"model.params.kernel={params.kernel} has no middle", f"give {params.kernel + 1}")


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
