"""What the sections share: a folder, models, and how long a measurement takes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.models import train
from benchmarks.serving.wrk import SCRIPT, Load, wrk

CONNECTIONS = 32


@dataclass(frozen=True)
class Bench:
    """A folder with a model for each task, and how long a measurement takes: `rounds` of `seconds`."""

    place: Path
    seconds: int
    rounds: int
    peers: list[str]
    quick: bool
    _bundles: dict[str, Path] = field(default_factory=dict)

    def bundle(self, task: str) -> Path:
        """The bundle of a model that is trained on the spot."""
        if task not in self._bundles:
            print(f"  training a model of {task} …", file=sys.stderr)
            self._bundles[task] = train(self.place, task)
        return self._bundles[task]

    def load(
        self, url: str, bodies: list[bytes], kind: str, more: str = "", rounds: int = 0, server: int | None = None
    ) -> Load:
        """The median of the rounds, after one that warms up; `more` is Lua, `server` a process to watch."""
        script = self.place / "load.lua"
        script.write_text(SCRIPT % (len(bodies), kind) + more)
        for number, body in enumerate(bodies):
            (self.place / f"body-{number}").write_bytes(body)
        wrk(url, script, 2, CONNECTIONS, self.place)
        seen = [wrk(url, script, self.seconds, CONNECTIONS, self.place, server) for _ in range(rounds or self.rounds)]
        return sorted(seen, key=lambda each: each.rate)[len(seen) // 2]


def verdict(text: str, held: bool) -> None:
    print(f"  {text}: {'held' if held else 'NOT held'}", flush=True)
