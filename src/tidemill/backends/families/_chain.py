"""Writes a run's chain of weight digests while it trains."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tidemill.domain.chain import Link, next_link
from tidemill.domain.record import to_plain
from tidemill.files import write_atomic

WEIGHTS = "weights.jsonl"


class Chain:
    """Appends a line {"step", "digest"} to `folder`/weights.jsonl for each link; `seconds` is what hashing took.

    It goes on after the link `last`, as a checkpoint has it; later lines of the file are dropped, they will come again.
    """

    def __init__(self, folder: Path, last: Link | None = None) -> None:
        self.path, self.last, self.seconds = folder / WEIGHTS, last, 0.0
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.is_file() else []
        until = last.step if last else -1
        whole = [line for line in lines if line.endswith(b"\n") and json.loads(line)["step"] <= until]
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
