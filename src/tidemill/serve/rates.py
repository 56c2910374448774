"""How often one may ask: the generic cell rate algorithm (ITU-T I.371), whose whole state is one time.

The state of a token can lie in a file that all workers of a server map, so that its rate is one for all of them. Two
that write it at the same instant can let one request too many pass: what is guarded is the server, not a purse.
"""

from __future__ import annotations

import math
import mmap
import os
import re
import time
from collections.abc import MutableSequence
from dataclasses import dataclass
from pathlib import Path

from tidemill.errors import InputError

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_TEXT = re.compile(r"([1-9][0-9]{0,8})/(s|min|h)")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds. After a pause all of them may come at once."""

    requests: int
    seconds: float

    def __str__(self) -> str:
        unit = next((unit for unit, seconds in _UNITS.items() if seconds == self.seconds), f"{self.seconds:g}s")
        return f"{self.requests}/{unit}"


def parse_rate(text: str) -> Rate:
    """`100/s`, `600/min` or `50/h`. Raises InputError."""
    found = _TEXT.fullmatch(text.strip())
    if not found:
        raise InputError(f"{text[:40]!r} is no rate", "write requests and unit: 100/s, 600/min or 50/h")
    return Rate(int(found[1]), _UNITS[found[2]])


class Meter:
    """Requests of one token against its rate. `cell` holds when, by time.monotonic(), all that passed is paid for."""

    __slots__ = ("_cell", "_interval", "_room")

    def __init__(self, rate: Rate, cell: MutableSequence[float] | memoryview[float] | None = None) -> None:
        self._interval = rate.seconds / rate.requests
        self._room = rate.seconds - self._interval
        self._cell = [0.0] if cell is None else cell

    def take(self, now: float | None = None) -> int:
        """0 where a request may pass, which is counted; else after how many seconds one may."""
        now = time.monotonic() if now is None else now
        paid: float = self._cell[0]
        if paid - now > 2 * (self._room + self._interval):  # a number that no request of here has left
            paid = now
        late = paid - now - self._room
        if late > 1e-9:
            return max(1, math.ceil(late))
        self._cell[0] = max(paid, now) + self._interval
        return 0


def shared_cell(folder: Path, name: str) -> memoryview[float]:
    """One number that all processes which name the same file see. Raises OSError."""
    handle = os.open(folder / f"{name}.rate", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.ftruncate(handle, 8)
        return memoryview(mmap.mmap(handle, 8)).cast("d")
    finally:
        os.close(handle)
