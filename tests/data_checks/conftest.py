"""Pictures with something on them, and small tables."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from ..data.conftest import _empty_projects, project  # noqa: F401  # fixtures


def scene(seed: int, *, side: int = 64) -> NDArray[np.uint8]:
    """A picture of soft coloured blobs, unlike that of any other seed; uint8 [side, side, 3]."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def jpeg(pixels: NDArray[np.uint8], quality: int = 92) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", quality=quality)
    return target.getvalue()


def scenes(root: Path, *, per_class: int = 12, splits: tuple[str, ...] = ("train", "val", "test")) -> Path:
    """A folder of different scenes, classes `a` and `b` in each split."""
    seed = 0
    for split in splits:
        for label in "ab":
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(per_class):
                (folder / f"{number:02d}.jpg").write_bytes(jpeg(scene(seed)))
                seed += 1
    return root


def trips(rows: int = 600, *, seed: int = 0) -> pa.Table:
    """A month of taxi trips in small: whole numbers, a surcharge of 0.3, an empty column, dates and a category."""
    random = np.random.default_rng(seed)
    seconds = np.sort(random.integers(0, 30 * 86_400, rows)) + 1_580_515_200 + seed * 2_592_000
    return pa.table(
        {
            "vendor": pa.array(random.integers(1, 3, rows), pa.int64()),
            "pickup": pa.array(seconds * 1_000_000, pa.timestamp("us")),
            "flag": pa.array(random.choice(["N", "Y"], rows)),
            "passengers": pa.array(random.integers(1, 5, rows).astype(float), pa.float64()),
            "distance": pa.array(random.lognormal(1, 0.7, rows)),
            "surcharge": pa.array(np.where(random.random(rows) < 0.98, 0.3, 0.0)),
            "fee": pa.array([None] * rows, pa.float64()),
            "fare": pa.array(random.lognormal(2.5, 0.5, rows)),
        }
    )


def cast(table: pa.Table, **kinds: pa.DataType) -> pa.Table:
    """The table with some columns of another type."""
    for name, kind in kinds.items():
        table = table.set_column(table.column_names.index(name), name, table.column(name).cast(kind))
    return table
