"""The network for pictures that `model.kind` names, new or again from what was saved of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tidemill.backends.families.models.airbench import AirbenchNetwork
from tidemill.backends.families.models.alexnet import AlexNetNetwork
from tidemill.backends.families.models.mambaout import MambaOutNetwork
from tidemill.backends.families.models.own import OwnNetwork, own_network
from tidemill.backends.families.models.resnet import ResNet18Network
from tidemill.backends.families.models.small_cnn import SmallCnnNetwork
from tidemill.backends.families.models.timm_pictures import TimmNetwork, checked_weights
from tidemill.backends.families.models.transformer_pictures import (
    Expected,
    TransformersNetwork,
    expected_input,
    network_again,
    transformers_network,
)
from tidemill.config.architectures import ARCHITECTURES, MobileNetV2, Own, Timm, Transformers

if TYPE_CHECKING:
    from tidemill.config.schema import ModelConfig

NETWORKS: dict[str, type[Any]] = {
    "small_cnn": SmallCnnNetwork,
    "airbench": AirbenchNetwork,
    "alexnet": AlexNetNetwork,
    "resnet18": ResNet18Network,
    "mambaout": MambaOutNetwork,
}
"""Those that the settings and the shape of the pictures make whole."""


def picture_network(architecture: Mapping[str, Any], classes: int, root: Path) -> nn.Module:
    """The network of `architecture`: `kind`, `params` and `shape` (channels, height, width).

    It gives (logits, embedding) and has a `head`. What `described` added makes it the network that was saved, without
    the weights. Raises ConfigError for settings that do not fit each other or the pictures.
    """
    params = ARCHITECTURES[architecture["kind"]].params(**architecture["params"])
    shape: Mapping[str, int] = architecture["shape"]
    match params:
        case Transformers() | MobileNetV2() if "backbone" in architecture:
            return network_again(architecture, shape, classes)
        case Transformers() | MobileNetV2():
            return transformers_network(params, **shape, classes=classes, root=root)
        case Timm():
            weights = None if "timm" in architecture else checked_weights(params.checkpoint, root)
            return TimmNetwork(params, **shape, classes=classes, weights=weights)
        case Own():
            example = torch.zeros(2, shape["channels"], shape["height"], shape["width"])
            return own_network(params, (example,), {**shape, "classes": classes}, root, digest=architecture.get("code"))
    network: nn.Module = NETWORKS[architecture["kind"]](params, **shape, classes=classes)
    return network


def described(network: nn.Module) -> dict[str, Any]:
    """What `picture_network` needs of a network beyond its settings to build it again."""
    match network:
        case TransformersNetwork():
            return network.plain()
        case TimmNetwork():
            return {"timm": True}
        case OwnNetwork():
            return {"code": str(network.code.digest)}
    return {}


def width_of(network: nn.Module) -> int:
    """Values of the embedding."""
    if isinstance(network, OwnNetwork):
        return network.width
    return int(network.head.in_features)  # type: ignore[union-attr,arg-type]  # the others have a linear head


def expected_of(model: ModelConfig, root: Path) -> Expected | None:
    """The input that the pretrained weights of `model` were trained on; None where there are none."""
    params = ARCHITECTURES[model.kind].params(**model.params)
    return expected_input(params, root) if isinstance(params, Transformers | MobileNetV2) else None
