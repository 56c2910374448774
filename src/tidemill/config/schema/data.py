"""Group `data`: which data set, and how its pictures are made ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tidemill.config.schema.fields import bounded


@dataclass
class ImageInput:
    """How pictures are made ready."""

    height: int = bounded(0, low=0, high=1024)  # pixels; 0: as most pictures of the data set are, at most 224
    width: int = bounded(0, low=0, high=1024)
    mode: Literal["auto", "L", "RGB"] = "auto"  # "auto": grey when every picture looked at is grey
    filter: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"  # a Pillow filter by name


@dataclass
class DataConfig:
    """Group `data`: which data set, which version, how it is read."""

    name: str
    version: str = "latest"  # X.Y.Z or "latest"
    image: ImageInput = field(default_factory=ImageInput)
    augment: Literal["none", "flip", "shift"] = "none"  # training pictures only: mirrored, or moved by a few pixels
