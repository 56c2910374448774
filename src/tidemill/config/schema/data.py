"""Group `data`: which data set, and how its pictures are made ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tidemill.config.schema.checks import ChecksConfig
from tidemill.config.schema.fields import bounded
from tidemill.config.schema.source import SourceConfig
from tidemill.errors import ConfigError, nearest

AUGMENTATIONS = ("flip", "alternate_flip", "shift", "crop", "cutout", "jitter")


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
    augment: str = "none"  # of training pictures: flip, alternate_flip, shift, crop, cutout, jitter, joined by "+"
    augment_pixels: int = bounded(0, low=0, high=256)  # shift: the farthest; 0: an eighth of the shorter side
    augment_crop: float = bounded(0.5, above=0, high=1)  # crop: the smallest area that is scaled up to the whole
    augment_cutout: float = bounded(0.25, above=0, high=1)  # cutout: side of the grey square, as a share
    augment_jitter: float = bounded(0.2, above=0, high=0.9)  # jitter: how far brightness and contrast may change
    cache_gb: float = bounded(-1, low=-1)  # decoded pictures kept on disk; -1: half of what is free; 0: none, stream
    shuffle_mb: int = bounded(512, low=1, high=1_000_000)  # streaming: decoded pictures among which order is mixed
    workers: int = bounded(-1, low=-1, high=256)  # processes that decode; -1: as the cores allow; 0: none
    source: SourceConfig = field(default_factory=SourceConfig)  # of what is added to this data set
    checks: ChecksConfig = field(default_factory=ChecksConfig)  # of what is added to this data set

    def __post_init__(self) -> None:
        for name in self.augment.split("+"):
            if name not in AUGMENTATIONS and self.augment != "none":
                raise ConfigError(
                    f"data.augment={self.augment}: there is no augmentation {name!r}",
                    nearest(name, AUGMENTATIONS, kind="augmentations"),
                )
