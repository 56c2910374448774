"""How long a model takes: expected from what its last batches took."""

from __future__ import annotations

_FORGET = 0.1  # weight of the newest batch
Seconds = tuple[tuple[int, float], tuple[int, float]]
"""Rows of a small and of a larger batch, and how long each took."""


class Pace:
    """Seconds of a batch as a line over its rows. `seconds` are those of one row and of a full batch, measured."""

    def __init__(self, seconds: Seconds) -> None:
        (few, short), (many, long) = seconds
        self._row = max(0.0, (long - short) / max(1, many - few))
        self._start = max(0.0, short - few * self._row)
        self._drift = 1.0  # times what was measured: the machine may be busier now

    def expected(self, rows: int) -> float:
        """Seconds for so many rows."""
        return (self._start + self._row * rows) * self._drift

    def clears(self, rows: int, batch: int, threads: int) -> float:
        """Seconds until so many rows are computed by `threads` side by side, `batch` rows at a time."""
        return self.expected(batch) * rows / batch / threads

    def took(self, rows: int, seconds: float) -> None:
        """A batch of so many rows was computed."""
        measured = self._start + self._row * rows
        if measured > 0:
            self._drift += _FORGET * (min(10.0, seconds / measured) - self._drift)
