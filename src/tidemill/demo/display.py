"""How the demo shows itself: a live board on a terminal, a plain log elsewhere. Both are ports.Reporter."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

TIDE, SAND, SOFT = "#2b9f97", "#c98a2b", "grey58"
_BARS = "▁▂▃▄▅▆▇█"


class Display(Protocol):
    """What the story tells its doings to."""

    def start(self, step: int) -> None: ...

    def command(self, line: str) -> None: ...

    def say(self, line: str) -> None: ...

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def progress(self, done: int, total: int, note: str) -> None: ...

    def finish(self, step: int, note: str) -> None: ...

    def close(self) -> None: ...


def open_display(titles: Sequence[str]) -> Display:
    """The board when standard error is a terminal, the log otherwise."""
    if sys.stderr.isatty():
        return Board(titles, Console(stderr=True))
    return PlainLog(titles)


class PlainLog:
    """One line an event, with the seconds since the start."""

    def __init__(self, titles: Sequence[str]) -> None:
        self._titles = titles
        self._began = time.monotonic()
        self._noted = ""

    def _print(self, line: str) -> None:
        print(f"[{time.monotonic() - self._began:5.1f} s] {line}", file=sys.stderr, flush=True)

    def start(self, step: int) -> None:
        self._print(f"{step + 1}/{len(self._titles)} {self._titles[step]}")

    def command(self, line: str) -> None:
        self._print(f"    $ {line}")

    def say(self, line: str) -> None:
        self._print(f"      {line}")

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self._print(f"      epoch {step}: {_figures(values)}")

    def progress(self, done: int, total: int, note: str) -> None:
        if done >= total and note != self._noted:
            self._noted = note
            self._print(f"      {note}: {done} of {total}")

    def finish(self, step: int, note: str) -> None:
        self._print(f"    = {note}")

    def close(self) -> None: ...


class Board:
    """The steps with their times, the command of the moment, what it says, a bar and a curve."""

    def __init__(self, titles: Sequence[str], console: Console) -> None:
        self._titles = titles
        self._state: list[Literal["waiting", "running", "done"]] = ["waiting"] * len(titles)
        self._clock = [0.0] * len(titles)
        self._notes = [""] * len(titles)
        self._began = time.monotonic()
        self._lines: deque[Text] = deque(maxlen=9)
        self._bar: tuple[int, int, str] | None = None
        self._curve: list[float] = []
        self._live = Live(self, console=console, refresh_per_second=12, transient=False)
        self._live.start()

    def start(self, step: int) -> None:
        self._state[step], self._clock[step] = "running", time.monotonic()
        self._lines.clear()
        self._bar, self._curve = None, []

    def command(self, line: str) -> None:
        self._lines.append(Text.assemble(("$ ", SAND), (line, "bold")))
        self._bar, self._curve = None, []

    def say(self, line: str) -> None:
        self._lines.append(Text(f"  {line}"))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self._curve.append(values.get("val_accuracy", values.get("val_loss", 0.0)))
        self._bar = (self._bar[0], self._bar[1], f"epoch {step}  {_figures(values)}") if self._bar else None

    def progress(self, done: int, total: int, note: str) -> None:
        self._bar = (done, total, note)

    def finish(self, step: int, note: str) -> None:
        self._state[step], self._clock[step] = "done", time.monotonic() - self._clock[step]
        self._notes[step] = note
        self._bar = None

    def close(self) -> None:
        self._bar = None
        self._lines.clear()
        self._live.stop()

    def __rich__(self) -> RenderableType:
        body: list[RenderableType] = [self._steps()]
        if self._lines or self._bar:
            body.append(Panel(self._doing(), border_style=TIDE, padding=(0, 1)))
        return Group(self._headline(), *body)

    def _headline(self) -> Text:
        seconds = time.monotonic() - self._began
        wave = "".join(_BARS[int(3.5 + 3.4 * math.sin(seconds * 2.2 + i * 0.45))] for i in range(24))
        return Text.assemble(("\n  tidemill ", f"bold {TIDE}"), (wave, TIDE), (f"  {seconds:5.1f} s\n", SOFT))

    def _steps(self) -> Padding:
        table = Table.grid(padding=(0, 2))
        for number, title in enumerate(self._titles):
            match self._state[number]:
                case "done":
                    row = (
                        Text("●", TIDE),
                        Text(title),
                        self._seconds(self._clock[number], SOFT),
                        Text(self._notes[number], TIDE),
                    )
                case "running":
                    since = time.monotonic() - self._clock[number]
                    spin = "◐◓◑◒"[int(since * 6) % 4]
                    row = (Text(spin, f"bold {SAND}"), Text(title, "bold"), self._seconds(since, SAND), Text(""))
                case _:
                    row = (Text("○", SOFT), Text(title, SOFT), Text(""), Text(""))
            table.add_row(*row)
        return Padding(table, (0, 0, 1, 2))

    @staticmethod
    def _seconds(seconds: float, style: str) -> Text:
        return Text(f"{seconds:4.1f} s", style, justify="right")

    def _doing(self) -> Group:
        parts: list[RenderableType] = list(self._lines)
        if self._bar is not None:
            done, total, note = self._bar
            row = Table.grid(padding=(0, 2))
            bar = ProgressBar(total=max(total, 1), completed=done, width=28, complete_style=TIDE, finished_style=TIDE)
            row.add_row(Text(" "), bar, Text(_curve(self._curve), TIDE), Text(note, SOFT))
            parts.append(row)
        return Group(*parts)


def _curve(values: Sequence[float]) -> str:
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    return "".join(_BARS[int((value - low) / ((high - low) or 1.0) * 7)] for value in values[-24:])


def _figures(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in values.items())
