"""The numbers of several workers as those of one server: each writes its own beside those of the others."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from tidemill.serve.metrics import Meters

EVERY = 1.0  # seconds; so old are the others' numbers at most


class Shared:
    """A folder with a file for each worker that ever ran; those of dead ones count on, for counters never fall."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / f"{os.getpid()}.json"

    async def keep(self, meters: Meters) -> None:
        """Write this worker's numbers from time to time, until cancelled."""
        while True:
            self.write(meters)
            await asyncio.sleep(EVERY)

    def write(self, meters: Meters) -> None:
        """Write this worker's numbers."""
        beside = self._own.with_suffix(".tmp")
        try:
            beside.write_bytes(orjson.dumps(meters.plain()))
            beside.replace(self._own)
        except OSError:  # a disk that is full is told by the log's meters, and is no reason to stop answering
            return

    def text(self, meters: Meters) -> bytes:
        """All series of all workers."""
        others = [_read(path) for path in sorted(self._folder.glob("*.json")) if path != self._own]
        return meters.together(each for each in others if each).text()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        plain: dict[str, Any] = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    try:
        os.kill(int(path.stem), 0)
    except ProcessLookupError:
        plain["server"]["in_flight"] = plain["server"]["refused"] = 0
        for each in plain["models"]:
            each["pending"] = 0
    except (PermissionError, ValueError):
        pass
    return plain
