"""The ONNX exporter as the settings want it; for int8_static with training rows to calibrate with."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tidemill.backends.exporters.onnx import OnnxExporter
    from tidemill.config.schema import ExportConfig
    from tidemill.dataset.read import PackedDataset
    from tidemill.ports import Feed, SourceModel

_BATCH = 16


def exporter_of(settings: ExportConfig, model: SourceModel, data: PackedDataset) -> OnnxExporter:
    """For `settings.precision`; what int8_static needs of `data` is read when it exports."""
    from tidemill.backends.exporters.onnx import OnnxExporter

    return OnnxExporter(settings.precision, lambda: calibration(model, data, settings.calibration_rows))


def calibration(model: SourceModel, data: PackedDataset, rows: int) -> Sequence[Feed]:
    """Batches of at most `rows` training rows, drawn at random and always the same.

    Not of the test split: the parity gate shall judge by rows whose ranges the graph has not seen.
    """
    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.bundle.read import TOKENIZER

    number = data.split("train").rows
    chosen = np.sort(np.random.default_rng(0).choice(number, min(rows, number), replace=False))
    inputs = data.examples("train", chosen).inputs
    content: bytes | None = getattr(model, "tokenizer", None)  # only models of text have one
    with tempfile.TemporaryDirectory() as folder:
        if content is not None:
            (Path(folder) / TOKENIZER).write_bytes(content)
        preprocessor = Preprocessor(model.preprocessing, Path(folder) / TOKENIZER if content is not None else None)
        return [preprocessor.prepare(inputs[start : start + _BATCH]) for start in range(0, len(inputs), _BATCH)]
