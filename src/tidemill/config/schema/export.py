"""What an export must pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from tidemill.config.schema.fields import bounded
from tidemill.domain.bundle import Precision


@dataclass
class LimitsConfig:
    """How far an export in fewer bits may be from the model it came from."""

    max_changed: float = bounded(0.005, low=0, high=1)  # share of test rows whose decision may change
    max_loss: float = bounded(0.005, low=0, high=1)  # accuracy (regression: R²) that may be lost
    max_class_loss: float = bounded(0.02, low=0, high=1)  # the same for each class; one row of it always may
    tolerance: float = bounded(0.02, above=0)  # per score; golden answers are held to less where the graph is closer


@dataclass
class Int8LimitsConfig(LimitsConfig):
    """The same for int8, which rounds more."""

    max_changed: float = bounded(0.02, low=0, high=1)  # share of test rows whose decision may change
    max_loss: float = bounded(0.01, low=0, high=1)  # accuracy (regression: R²) that may be lost
    max_class_loss: float = bounded(0.05, low=0, high=1)  # the same for each class; one row of it always may
    tolerance: float = bounded(0.2, above=0)  # per score; golden answers are held to less where the graph is closer


@dataclass
class ExportConfig:
    """The parity gate and what the bundle carries."""

    required: bool = True  # false: a model that has no ONNX form is trained and evaluated, and not registered
    precision: Precision = "float32"  # of the graph; all but float32 need a network
    max_changed: float = bounded(0.001, low=0, high=1)  # share of test rows whose decision may change
    max_loss: float = bounded(0.001, low=0, high=1)  # accuracy (regression: R²) that may be lost
    max_class_loss: float = bounded(0.01, low=0, high=1)  # the same for each class; one row of it always may
    tolerance: float = bounded(1e-3, above=0)  # how far a golden answer may be off, per score
    float16: LimitsConfig = field(default_factory=LimitsConfig)  # the four limits for this precision
    int8_dynamic: Int8LimitsConfig = field(default_factory=Int8LimitsConfig)  # the same
    int8_static: Int8LimitsConfig = field(default_factory=Int8LimitsConfig)  # the same
    calibration_rows: int = bounded(256, low=1, high=10_000)  # training rows that int8 is measured on
    golden_rows: int = bounded(32, low=1, high=10_000)  # raw requests kept with their answers
    reference_rows: int = bounded(2000, low=1, high=1_000_000)  # rows kept for the monitor to compare with

    def limits(self, precision: Precision) -> LimitsConfig:
        """What holds for `precision`."""
        if precision == "float32":
            return LimitsConfig(self.max_changed, self.max_loss, self.max_class_loss, self.tolerance)
        found: LimitsConfig = getattr(self, precision)
        return found
