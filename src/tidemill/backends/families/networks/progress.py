"""Where a training stands, told to a Reporter often enough for the eye and seldom enough for the device."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.backends.families.networks.meter import Meter
    from tidemill.ports import Reporter

_EVERY = 0.25  # seconds between two looks at the loss, each of which waits for the device


class Progress:
    """The steps of one epoch: how many are done, the running loss and accuracy, and rows per second."""

    def __init__(self, report: Reporter, *, epochs: int, batches: int) -> None:
        self._report, self._epochs, self._batches = report, epochs, batches
        self._began = self._told = time.monotonic()
        self._rows, self._figures = 0, ""

    def batch(self, epoch: int, number: int, rows: int, meter: Meter) -> None:
        """Batch `number` of `epoch`, both counted from 0, is done."""
        self._rows += rows
        now = time.monotonic()
        if now - self._told >= _EVERY:
            self._told = now
            means = meter.means()
            figures = f" · loss {means[0]:.3f} · accuracy {means[1]:.1%}" if means else ""
            self._figures = f"{figures} · {self._rows / (now - self._began):,.0f} rows/s"
        done, total = epoch * self._batches + number + 1, self._epochs * self._batches
        self._report.progress(done, total, f"epoch {epoch + 1}/{self._epochs}{self._figures}")
