"""What an export must pass."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.config.schema.fields import bounded


@dataclass
class ExportConfig:
    """The parity gate and what the bundle carries."""

    required: bool = True  # false: a model that has no ONNX form is trained and evaluated, and not registered
    max_changed: float = bounded(0.001, low=0, high=1)  # share of test rows whose decision may change
    tolerance: float = bounded(1e-3, above=0)  # how far a golden answer may be off, per score
    golden_rows: int = bounded(32, low=1, high=10_000)  # raw requests kept with their answers
    reference_rows: int = bounded(2000, low=1, high=1_000_000)  # rows kept for the monitor to compare with
