"""Rows to calibrate with are read where a precision needs them, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.bundle.sources import picture_model
from tests.input.conftest import packed
from tidemill.config.schema import ExportConfig
from tidemill.dataset.read import Examples, PackedDataset
from tidemill.domain.bundle import Precision
from tidemill.project.calibration import calibration, exporter_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS = 8
_READ: list[tuple[str, int]] = []


class Watched(PackedDataset):
    """A packed set that writes down which split was read, and how many rows of it."""

    def examples(self, split: str, chosen: NDArray[np.int64] | None = None) -> Examples:
        found = super().examples(split, chosen)
        _READ.append((split, len(found.names)))
        return found


def _set(folder: Path, *, val: bool) -> Watched:
    _, examples = picture_model(8, 8, 1)
    files = [each for each in examples.inputs if isinstance(each, bytes)] * 4
    made = packed(folder / "set", {"train": files[:20], "test": files[:4], **({"val": files[:12]} if val else {})})
    _READ.clear()
    return Watched(made.version, made.root)


@pytest.mark.parametrize(
    ("precision", "read"),
    [
        ("float32", []),
        ("float16", []),
        ("int8_dynamic", [("train", _ROWS)]),
        ("int8_static", [("train", _ROWS), ("val", _ROWS)]),
    ],
)
def test_only_the_rows_that_a_precision_needs_are_read(
    tmp_path: Path, precision: Precision, read: list[tuple[str, int]]
) -> None:
    model, _ = picture_model(8, 8, 1)
    settings = ExportConfig(precision=precision, calibration_rows=_ROWS)
    exporter_of(settings, model, _set(tmp_path, val=True)).export(model, tmp_path / "model.onnx")
    assert read == _READ


def test_without_a_val_split_other_training_rows_are_held_back(tmp_path: Path) -> None:
    model, _ = picture_model(8, 8, 1)
    data = _set(tmp_path, val=False)
    found = calibration(model, data, 10)
    assert sum(len(feed["image"]) for feed in found.measured) == 10
    assert sum(len(feed["image"]) for feed in found.held_back()) == 10
    assert _READ == [("train", 10), ("train", 10)]
