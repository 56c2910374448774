"""Writes a run's chain of weight digests while it trains."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tidemill.domain.chain import WEIGHTS, Link, next_link
from tidemill.domain.record import to_plain
from tidemill.files import write_atomic


class Chain:
    """Appends a line {"step", "digest"} to `folder`/WEIGHTS for each link; `seconds` is what hashing took.

    It goes on after the link `last`, as a checkpoint has it; later lines of the file are dropped, they will come again,
    and so are lines that a power cut tore.
    """

    def __init__(self, folder: Path, last: Link | None = None) -> None:
        self.path, self.last, self.seconds = folder / WEIGHTS, last, 0.0
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.is_file() else []
        until = last.step if last else -1
        whole = [line for line in lines if line.endswith(b"\n") and 0 <= _step(line) <= until]
        write_atomic(self.path, b"".join(whole))

    def add(self, step: int, weights: Iterable[Any]) -> None:
        """Link the weights after `step` steps; a step that has its link already is left alone."""
        if self.last is not None and step <= self.last.step:
            return
        began = time.perf_counter()
        self.last = next_link(self.last, step, weights)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(to_plain(self.last)) + "\n")
        self.seconds += time.perf_counter() - began

    def sync(self) -> None:
        """Make the lines durable, before a checkpoint says that they are there."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _step(line: bytes) -> int:
    """The step of a link, or -1 for what is none."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1
