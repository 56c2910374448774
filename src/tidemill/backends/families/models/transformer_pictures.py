"""Networks for pictures from the transformers library, and what pretrained ones were trained to see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from tidemill.backends.families.models.pretrained import (
    again,
    beside_weights,
    first_line,
    fresh,
    load_pretrained,
    plain_config,
)
from tidemill.config.architectures import MobileNetV2, Transformers
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_TOKENS = ("vit", "deit", "dinov2")
"""They give one state a patch, of which the first stands for the picture; the others pool over the picture."""
KINDS = (
    "resnet", "regnet", "mobilenet_v1", "mobilenet_v2", "convnext", "convnextv2", *_TOKENS,
)  # fmt: skip


class Expected(NamedTuple):
    """The input that pretrained weights were trained on; None where their folder does not say."""

    height: int | None = None
    width: int | None = None
    statistics: tuple[list[float], list[float]] | None = None  # mean and standard deviation of each channel


class TransformersNetwork(nn.Module):
    """A backbone of transformers with a linear head of our own."""

    def __init__(self, backbone: nn.Module, *, channels: int, height: int, width: int, dropout: float, classes: int):
        super().__init__()
        if getattr(backbone, "pooler", None) is not None and _kind(backbone) in _TOKENS:
            backbone.register_module("pooler", None)
        self.backbone = backbone
        self.tokens = _kind(backbone) in _TOKENS
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self._width(channels, height, width), classes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [N, C, H, W], normalised, to logits [N, classes] and the backbone's embedding [N, D]."""
        embedding = self._embedding(pixels)
        return self.head(self.dropout(embedding)), embedding

    def _embedding(self, pixels: Tensor) -> Tensor:
        states = self.backbone(pixel_values=pixels)
        found: Tensor = states.last_hidden_state[:, 0] if self.tokens else states.pooler_output.flatten(1)
        return found

    def _width(self, channels: int, height: int, width: int) -> int:
        training = self.backbone.training
        self.backbone.eval()
        try:
            with torch.no_grad():
                found = self._embedding(torch.zeros(1, channels, height, width)).shape[1]
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"a {_kind(self.backbone)} cannot take pictures of {height} x {width} pixels with {channels} channels: "
                f"{first_line(error)}",
                "set data.image.height and data.image.width as the model needs them, and data.image.mode=RGB",
            ) from None
        self.backbone.train(training)
        return found

    def plain(self) -> dict[str, Any]:
        """What `network_again` needs beside the shape of the input."""
        return {"backbone": plain_config(self.backbone), "dropout": self.dropout.p}


def transformers_network(
    params: Transformers | MobileNetV2, *, channels: int, height: int, width: int, classes: int, root: Path
) -> TransformersNetwork:
    """With random weights, or with those of `params.pretrained`. Raises ConfigError for what does not fit."""
    kind = "mobilenet_v2" if isinstance(params, MobileNetV2) else params.architecture
    shape = {"channels": channels, "height": height, "width": width}
    if params.pretrained:
        backbone = load_pretrained(params.pretrained, (kind,), f"the {kind} that model.params asks for", root)
    else:
        backbone = fresh(kind, _settings(params, kind, **shape))
    return TransformersNetwork(backbone, **shape, dropout=params.dropout, classes=classes)


def network_again(plain: Mapping[str, Any], shape: Mapping[str, int], classes: int) -> TransformersNetwork:
    """The network that `TransformersNetwork.plain` described; its weights are random."""
    return TransformersNetwork(again(plain["backbone"], KINDS), **shape, dropout=plain["dropout"], classes=classes)


def expected_input(params: Transformers | MobileNetV2, root: Path) -> Expected | None:
    """What preprocessor_config.json beside pretrained weights says; None for random weights."""
    if not params.pretrained:
        return None
    said = beside_weights(params.pretrained, "preprocessor_config.json", root)
    cropped = said.get("do_center_crop") and said.get("crop_size")
    height, width = _sides(said["crop_size"] if cropped else said.get("size"))
    mean, std = _numbers(said.get("image_mean")), _numbers(said.get("image_std"))
    usable = said.get("do_normalize", True) and mean and std and min(std) > 0
    return Expected(height, width, (mean, std) if usable else None)


def _settings(
    params: Transformers | MobileNetV2, kind: str, *, channels: int, height: int, width: int
) -> dict[str, Any]:
    if isinstance(params, MobileNetV2):
        return {"depth_multiplier": params.width, "num_channels": channels, "image_size": max(height, width)}
    ours: dict[str, Any] = {"num_channels": channels}
    if kind in _TOKENS:
        if height != width:
            raise ConfigError(
                f"a {kind} takes square pictures, these are {height} x {width}",
                "set data.image.height and data.image.width to the same number",
            )
        ours["image_size"] = height
    return {**ours, **params.settings}


def _sides(size: Any) -> tuple[int | None, int | None]:
    match size:
        case {"height": int(height), "width": int(width)}:
            return height, width
        case {"shortest_edge": int(side)} | int(side):
            return side, side
        case _:
            return None, None


def _numbers(values: Any) -> list[float]:
    fits = isinstance(values, list) and all(isinstance(each, int | float) for each in values)
    return [float(each) for each in values] if fits else []


def _kind(backbone: nn.Module) -> str:
    return str(backbone.config.model_type)  # type: ignore[union-attr]  # transformers' own
