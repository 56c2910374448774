"""The ONNX exporter as the settings want it; for int8_static with rows to calibrate with."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.backends.exporters.onnx import OnnxExporter
    from tidemill.backends.exporters.precisions.static import Calibration
    from tidemill.config.schema import ExportConfig
    from tidemill.dataset.read import PackedDataset
    from tidemill.ports import Feed, SourceModel

_BATCH = 16


def exporter_of(settings: ExportConfig, model: SourceModel, data: PackedDataset) -> OnnxExporter:
    """For `settings.precision`; what int8_static needs of `data` is read when it exports."""
    from tidemill.backends.exporters.onnx import OnnxExporter

    return OnnxExporter(settings.precision, lambda: calibration(model, data, settings.calibration_rows))


def calibration(model: SourceModel, data: PackedDataset, rows: int) -> Calibration:
    """At most `rows` training rows to measure on, and at most as many to choose by: of val, or other training rows.

    The latter are read when they are asked for: int8_dynamic does not choose.

    Not of the test split: the parity gate shall judge by rows that the graph has not seen. Drawn at random, always the
    same ones.
    """
    from tidemill.backends.exporters.precisions.static import Calibration

    drawn = _drawn(data, "train", 2 * rows)

    def held_back() -> list[Feed]:
        others = _drawn(data, "val", rows)
        return _prepared(model, data, "val", others) if len(others) else _prepared(model, data, "train", drawn[rows:])

    return Calibration(_prepared(model, data, "train", drawn[:rows]), held_back)


def _drawn(data: PackedDataset, split: str, rows: int) -> NDArray[np.int64]:
    number = sum(each.rows for each in data.version.splits if each.name == split)
    return np.random.default_rng(0).choice(number, min(rows, number), replace=False)


def _prepared(model: SourceModel, data: PackedDataset, split: str, numbers: NDArray[np.int64]) -> list[Feed]:
    """Those rows of a split in batches, as the graph takes them."""
    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.bundle.read import TOKENIZER

    content: bytes | None = getattr(model, "tokenizer", None)  # only models of text have one
    inputs = data.examples(split, np.sort(numbers)).inputs
    with tempfile.TemporaryDirectory() as folder:
        if content is not None:
            (Path(folder) / TOKENIZER).write_bytes(content)
        preprocessor = Preprocessor(model.preprocessing, Path(folder) / TOKENIZER if content is not None else None)
        return [preprocessor.prepare(inputs[start : start + _BATCH]) for start in range(0, len(inputs), _BATCH)]
