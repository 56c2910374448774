"""Image classification: pictures decoded once, then a convolutional network trained by Lightning."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from tidemill.backends.families.models.available import check_network
from tidemill.backends.families.models.pictures import described, expected_of, picture_network, width_of
from tidemill.backends.families.networks.fit import Splits, fit, seeded, share_cores
from tidemill.backends.families.networks.graphs import PictureGraph
from tidemill.backends.families.networks.source import NetworkModel, Saved, classifier_signature
from tidemill.backends.families.pictures.splits import first_pictures, open_pictures
from tidemill.bundle.preprocess import Preprocessor
from tidemill.domain.bundle import ImagePreprocessing, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.backends.families.models.transformer_pictures import Expected
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.ports import ModelFamily, Reporter

LARGEST = 224  # pixels of a side, when the configuration leaves the size to the data
_LOOKED_AT = 256  # pictures whose size and colour decide


@dataclass(frozen=True)
class ImageFamily:
    """Networks for pictures, by `model.kind`; `root` is the project that holds own models and pretrained weights."""

    root: Path = Path()

    def check(self, config: Config, data: PackedDataset) -> None:
        """Whether the project's own code can be imported, and pretrained weights are there. Raises ConfigError."""
        check_network(config.model, self.root)

    def fit(self, config: Config, data: PackedDataset, report: Reporter, workdir: Path) -> NetworkModel:
        """Normalised by the training pictures; validated on the classes that training has seen."""
        seeded(config)
        expected = expected_of(config.model, self.root)
        config = _with_expected(config, expected)
        looked_at = first_pictures(data, "train", _LOOKED_AT)
        preprocessing = self.preprocessing(config, looked_at)
        pictures = open_pictures(config, data, preprocessing, report, workdir)
        labels = data.version.classes
        mean, std = expected.statistics if expected and expected.statistics else (pictures.mean, pictures.std)
        channels = 1 if preprocessing.mode == "L" else 3
        shape = {"channels": channels, "height": preprocessing.height, "width": preprocessing.width}
        architecture = {"kind": config.model.kind, "params": config.model.params, "shape": shape}
        network = picture_network(architecture, len(labels), self.root)
        architecture |= described(network)
        graph = PictureGraph(network, mean, std)
        graph.look_at(torch.from_numpy(Preprocessor(preprocessing).prepare(looked_at)["image"]))
        share_cores(config, config.trainer.batch_size * channels * shape["height"] * shape["width"], pictures.workers)
        fit(graph, config, Splits(pictures.train, pictures.val), report, workdir)
        inputs = [Tensor("image", "uint8", (-1, shape["height"], shape["width"], shape["channels"]))]
        signature = classifier_signature("image", inputs, labels, width_of(network))
        return NetworkModel(signature, preprocessing, graph, architecture)

    def load(self, directory: Path) -> NetworkModel:
        """What `NetworkModel.save` wrote."""
        saved = Saved.read(directory, ImagePreprocessing)
        channels = 1 if saved.preprocessing.mode == "L" else 3
        network = picture_network(saved.architecture, len(saved.signature.labels), self.root)
        return saved.with_weights(PictureGraph(network, [0.0] * channels, [1.0] * channels))

    def preprocessing(self, config: Config, pictures: Sequence[bytes]) -> ImagePreprocessing:
        """As configured; what is left to the data is what most of `pictures` are, at most 224 pixels a side."""
        settings = config.data.image
        if settings.height and settings.width and settings.mode != "auto":
            return ImagePreprocessing(settings.mode, settings.height, settings.width, settings.filter)
        height, width, mode = _look(pictures)
        mode = mode if settings.mode == "auto" else settings.mode
        return ImagePreprocessing(mode, settings.height or height, settings.width or width, settings.filter)


def _look(pictures: Sequence[bytes]) -> tuple[int, int, Literal["L", "RGB"]]:
    """The most frequent height and width, scaled to at most `LARGEST`, and the mode: "L" when all are grey."""
    from PIL import Image

    sizes: Counter[tuple[int, int]] = Counter()
    grey = True
    for content in pictures:
        with Image.open(BytesIO(content)) as picture:
            sizes[picture.size] += 1
            grey = grey and picture.mode in ("1", "L", "LA", "I", "I;16", "F")
    (width, height), often = sizes.most_common(1)[0]
    if often < len(pictures) / 2:  # photographs of many sizes: a square that suits them
        width = height = int(np.median([min(size) for size in sizes.elements()]))
    scale = min(1.0, LARGEST / max(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale)), "L" if grey else "RGB"


def _with_expected(config: Config, expected: Expected | None) -> Config:
    """What the settings leave to the data is as pretrained weights know it: colour, and their size of picture."""
    if expected is None:
        return config
    settings = config.data.image
    image = replace(
        settings,
        height=settings.height or expected.height or 0,
        width=settings.width or expected.width or 0,
        mode="RGB" if settings.mode == "auto" else settings.mode,
    )
    return replace(config, data=replace(config.data, image=image))


if TYPE_CHECKING:
    _fits: type[ModelFamily] = ImageFamily
