"""Settings of the networks for pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tidemill.config.schema import bounded
from tidemill.config.schema.fields import limits


@dataclass
class SmallCnn:
    """Three blocks of two convolutions; for small pictures."""

    channels: int = bounded(32, low=4, high=512)  # of the first block; doubled in each further one
    dropout: float = bounded(0.1, low=0, high=0.9)


@dataclass
class AlexNet:
    """Krizhevsky et al. (2012), its strides fitted to the size of the pictures."""

    width: float = bounded(1.0, above=0, high=2)  # share of the paper's channels
    dropout: float = bounded(0.5, low=0, high=0.9)
    normalization: bool = False  # batch normalisation after each convolution


@dataclass
class ResNet18:
    """He et al. (2015); small pictures enter without the first pooling."""

    channels: int = bounded(64, low=8, high=128)  # of the first stage; 64 in the paper


@dataclass
class MambaOut:
    """Yu and Wang (2025): stages of gated convolution blocks; small pictures enter at full size."""

    dims: list[int] = field(
        default_factory=lambda: [48, 96, 192, 288], metadata=limits(low=8, high=2048, longest=6)
    )  # channels of each stage
    depths: list[int] = field(
        default_factory=lambda: [3, 3, 9, 3], metadata=limits(low=1, high=64, longest=6)
    )  # blocks of each stage
    head: Literal["plain", "mlp"] = "mlp"  # "mlp", as in the paper: one hidden layer of 4 x the last width
    conv_ratio: float = bounded(1.0, above=0, high=1)  # share of the channels that are convolved
    expansion: float = bounded(8 / 3, low=1, high=8)  # of a block's channels inside it
    kernel: int = bounded(7, low=3, high=31)  # side of the depthwise convolution; odd
    drop_path: float = bounded(0.0, low=0, high=0.9)  # share of pictures that skip the last block
    dropout: float = bounded(0.0, low=0, high=0.9)  # before the last layer


@dataclass
class Airbench:
    """Jordan (2024), "94% on CIFAR-10 in 3.29 Seconds on a Single GPU": for small pictures, learns in few passes."""

    widths: list[int] = field(
        default_factory=lambda: [64, 256, 256], metadata=limits(low=8, high=1024, longest=6)
    )  # channels of each group of two convolutions
    mirror: bool = True  # answers are means over the picture and its mirror image: twice the work


@dataclass
class MobileNetV2:
    """Sandler et al. (2018), by transformers."""

    width: float = bounded(1.0, low=0.1, high=2)  # share of the paper's channels
    dropout: float = bounded(0.2, low=0, high=0.9)
    pretrained: str = ""  # a folder with config.json and model.safetensors; or hub:NAME. Then `width` is the folder's


@dataclass
class Transformers:
    """A network of the transformers library by its name, with random or pretrained weights."""

    architecture: Literal[
        "resnet", "regnet", "mobilenet_v1", "mobilenet_v2", "convnext", "convnextv2", "vit", "deit",
        "dinov2",
    ] = "resnet"  # with `pretrained`: what that folder must hold  # fmt: skip
    pretrained: str = ""  # a folder with config.json and model.safetensors; or hub:NAME
    dropout: float = bounded(0.0, low=0, high=0.9)  # before the last layer
    settings: dict[str, Any] = field(default_factory=dict)  # of the architecture's config class, by its names


@dataclass
class Timm:
    """A network of the timm library by its name; needs timm, and a torchvision that suits the installed torch."""

    name: str = "mobilenetv3_small_100"  # as timm.list_models() has it
    checkpoint: str = ""  # a safetensors file with its weights; empty: random weights
    dropout: float = bounded(0.0, low=0, high=0.9)  # before the last layer
