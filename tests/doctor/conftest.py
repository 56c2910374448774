"""Small projects whose trainings are bound by one thing."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tidemill.project import data
from tidemill.project.layout import Layout
from tidemill.project.scaffold import init


class Quiet:
    """A reporter for nobody."""

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def progress(self, done: int, total: int, note: str) -> None: ...


def write_pictures(folder: Path, number: int, side: int) -> None:
    """`number` JPEGs of two classes for training, and some to validate and test on."""
    generator = np.random.default_rng(0)
    for split, rows in (("train", number), ("val", 4), ("test", 4)):
        for row in range(rows):
            place = folder / split / ("dark", "light")[row % 2]
            place.mkdir(parents=True, exist_ok=True)
            small = generator.integers(0, 256, (side // 8, side // 8, 3), np.uint8)
            file = io.BytesIO()
            Image.fromarray(small).resize((side, side)).save(file, "JPEG", quality=90)
            (place / f"{row:04}.jpg").write_bytes(file.getvalue())


@pytest.fixture(scope="session")
def large_pictures(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """64 JPEGs of 800 x 800 pixels."""
    folder = tmp_path_factory.mktemp("large")
    write_pictures(folder / "pictures", 64, 800)
    layout = init(folder / "large", name="large", task="image", sample=None)
    data.add(layout, folder / "pictures", name="large")
    return layout


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return init(tmp_path_factory.mktemp("digits") / "digits", name="digits", task="image")
