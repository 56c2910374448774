"""Networks for pictures from the timm library, where it imports (https://huggingface.co/docs/timm)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tidemill.backends.families.models.pretrained import first_line
from tidemill.errors import ConfigError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from tidemill.config.architectures import Timm


class TimmNetwork(nn.Module):
    """A backbone of timm without its classifier, and a linear head of our own."""

    def __init__(self, params: Timm, *, channels: int, height: int, width: int, classes: int, weights: Path | None):
        super().__init__()
        timm = _library()
        if params.name not in timm.list_models():
            raise ConfigError(
                f"model.params.name: timm has no {params.name!r}", nearest(params.name, timm.list_models())
            )
        try:
            self.backbone: nn.Module = timm.create_model(
                params.name, pretrained=False, num_classes=0, in_chans=channels,
                checkpoint_path="" if weights is None else str(weights),
            )  # fmt: skip
            with torch.no_grad():
                features = self.backbone.eval()(torch.zeros(1, channels, height, width)).shape[1]
        except Exception as error:  # what timm says of weights or sizes that do not fit has no class of its own
            raise ConfigError(f"model.params: {params.name}: {first_line(error)}", "change model.params") from None
        self.backbone.train()
        self.dropout = nn.Dropout(params.dropout)
        self.head = nn.Linear(features, classes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [N, C, H, W], normalised, to logits [N, classes] and the backbone's embedding [N, D]."""
        embedding = self.backbone(pixels)
        return self.head(self.dropout(embedding)), embedding


def checked_weights(given: str, root: Path) -> Path | None:
    """The safetensors file that `model.params.checkpoint` names. Raises ConfigError for any other file."""
    if not given:
        return None
    path = root / given
    if path.suffix != ".safetensors" or not path.is_file():
        raise ConfigError(f"model.params.checkpoint: {path} is no safetensors file", "other formats may hold code")
    return path


def _library() -> Any:
    try:
        import timm
    except Exception as error:  # a torchvision that does not fit torch fails in many ways
        raise ConfigError(
            f"model=timm: timm does not import here: {first_line(error)}",
            "pip install timm torchvision, in builds that suit the installed torch; or choose model=transformers",
        ) from None
    return timm
