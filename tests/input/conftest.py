"""Packed sets of pictures in every format and mode that a server may be sent."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image

from tidemill.dataset.read import PackedDataset
from tidemill.dataset.write import pack
from tidemill.domain.dataset import Column

COLUMNS = (Column("name", "string", "path"), Column("label", "string", "target"), Column("data", "binary", "image"))


class Quiet:
    """A reporter that remembers how far it was told."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int, str]] = []

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def progress(self, done: int, total: int, note: str) -> None:
        self.heard.append((done, total, note))


def packed(root: Path, splits: Mapping[str, Sequence[bytes]], classes: int = 3) -> PackedDataset:
    """A set of the given picture files, their classes in turn."""
    root.mkdir(parents=True)
    rows = []
    for split, files in splits.items():
        names = [f"{split}/{number:05}.png" for number in range(len(files))]
        labels = [f"class{number % classes}" for number in range(len(files))]
        rows.append((split, pa.record_batch({"name": names, "label": labels, "data": pa.array(files, pa.binary())})))
    version = pack(root, rows, name="pictures", version="1.0.0", task="image", kind="classification", columns=COLUMNS)
    return PackedDataset(version, root)


def noise(number: int, height: int = 20, width: int = 24) -> NDArray[np.uint8]:
    """A picture unlike the others, and not smooth."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def every_kind(number: int) -> bytes:
    """The file of picture `number`, of one of nine kinds in turn."""
    picture = Image.fromarray(noise(number, 20 + number % 5, 24))
    exif = Image.Exif()
    exif[0x0112] = 1 + number % 8
    grey16 = np.random.default_rng(number).integers(0, 65536, (20, 24)).astype(np.uint16)
    kinds = (
        lambda: saved(picture, "PNG"),
        lambda: saved(picture, "JPEG", quality=80),
        lambda: saved(picture, "WEBP", quality=70),
        lambda: saved(picture.convert("CMYK"), "JPEG"),
        lambda: saved(picture, "JPEG", exif=exif),
        lambda: saved(picture.quantize(16), "PNG", transparency=0),
        lambda: saved(Image.fromarray(grey16), "PNG"),
        lambda: saved(picture.convert("LA"), "PNG"),
        lambda: saved(picture, "GIF"),
    )
    return kinds[number % len(kinds)]()


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    """200 pictures of every kind to train on, 40 to validate on."""
    files = [every_kind(number) for number in range(240)]
    return packed(tmp_path_factory.mktemp("kinds") / "set", {"train": files[:200], "val": files[200:]})


@pytest.fixture
def quiet() -> Quiet:
    return Quiet()
