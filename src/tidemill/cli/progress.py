"""How a training shows itself: a live board on a terminal, one line an epoch elsewhere. Both are ports.Reporter."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console, Group

    from tidemill.ports import Reporter

_SHOWN = 8  # epochs on the board
_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = (
    ("train_loss", "loss"), ("val_loss", "val loss"), ("train_rmse", "rmse"), ("val_rmse", "val rmse"),
    ("train_accuracy", "accuracy"), ("val_accuracy", "val accuracy"), ("learning_rate", "rate"),
    ("epoch_seconds", "time"),
)  # fmt: skip


@contextmanager
def training_display(title: str, *, goes_on: str = "") -> Iterator[Reporter]:
    """A Reporter on standard error, live when that is a terminal; `goes_on` is the run that is gone on with."""
    if not sys.stderr.isatty():
        yield PlainLog(goes_on)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    board = Board(title, console)
    with Live(get_renderable=board.render, console=console, refresh_per_second=8, transient=False):
        yield board
        board.done()


class PlainLog:
    """A line for each epoch, and for each new phase of the work."""

    def __init__(self, goes_on: str = "") -> None:
        self._phase, self._goes_on = "", goes_on

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """One line: the step, and each metric that the board would show."""
        parts = [f"{name} {show(key, values[key])}" for key, name in _COLUMNS if key in values]
        click.echo(f"{step:>5}  " + "  ".join(parts), err=True)

    def progress(self, done: int, total: int, note: str) -> None:
        """Only a phase that has no metrics of its own is worth a line."""
        phase = note.split(" ", maxsplit=1)[0]
        if self._goes_on:
            click.echo(f"going on with run {self._goes_on[:8]}: {note.partition(' · ')[0]}", err=True)
            self._goes_on = ""
        if phase not in ("epoch", "tree", self._phase):
            click.echo(f"{note} …", err=True)
        self._phase = phase

    def summary(self, text: str) -> None:
        """The last line of the table: how many parameters there are."""
        click.echo(text.rstrip().rpartition("\n")[2], err=True)

    def remark(self, text: str) -> None:
        """A line of its own."""
        click.echo(text, err=True)


class Board:
    """The state of a training, and how it looks."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title, self._console = title, console
        self._started = self._phase_started = time.monotonic()
        self._phase = ""
        self._rows: list[tuple[int, Mapping[str, float]]] = []
        self._done, self._total, self._note = 0, 0, "getting ready"
        self._phase_done, self._remark = 0, ""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Remember a row of the board."""
        self._rows.append((step, dict(values)))

    def progress(self, done: int, total: int, note: str) -> None:
        """Where the work stands; a total of 1 is a phase whose length nobody knows."""
        phase = note.split(" ", maxsplit=1)[0]
        if phase != self._phase:  # the first step of a phase is where its clock starts: it may not be step 1
            self._phase, self._phase_started, self._phase_done = phase, time.monotonic(), done - 1
        self._done, self._total, self._note = done, total, note

    def summary(self, text: str) -> None:
        """The table of layers, above the board."""
        from rich.text import Text

        if self._console is not None:
            self._console.print(Text(text, style="dim", no_wrap=True))

    def remark(self, text: str) -> None:
        """Below the table, until the end."""
        self._remark = text

    def done(self) -> None:
        """All is done: the bar is full."""
        self._done, self._total, self._note = 2, 2, "done"

    def render(self) -> Group:
        """Title, table of the last epochs, course of the loss, and the bar."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        elapsed = time.monotonic() - self._started
        unknown = self._total <= 1
        bar = ProgressBar(self._total or 1, self._done, width=36, pulse=unknown, animation_time=elapsed)
        line = Table.grid(padding=(0, 2))
        share = "" if unknown else f"{self._done / self._total:>4.0%}"
        what, _, figures = self._note.partition(" · ")
        line.add_row(
            Text(what, style="bold"), bar, Text(share, style="cyan"), Text(figures),
            Text(self._clock(elapsed), style="dim"),
        )  # fmt: skip
        parts = (
            [Text(self._title, style="dim"), self._table(), line]
            if self._rows
            else [Text(self._title, style="dim"), line]
        )
        if self._remark:
            parts.insert(-1, Text(self._remark, style="yellow"))
        return Group(*parts)

    def _clock(self, elapsed: float) -> str:
        """Seconds so far; where the end is known, also steps per second and what is left."""
        done, left = self._done - self._phase_done, self._total - self._done
        passed = time.monotonic() - self._phase_started
        if self._total <= 2 or done <= 0 or passed < 1:
            return f"{elapsed:.0f} s"
        steps = f"step {self._done:,}/{self._total:,} · {done / passed:,.1f}/s"
        return f"{elapsed:.0f} s · {steps} · {_span(left * passed / done)} left"

    def _table(self) -> object:
        from rich import box
        from rich.table import Table

        columns = [(key, name) for key, name in _COLUMNS if key in self._rows[-1][1]]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
        table.add_column(self._note.split(" ")[0] if " " in self._note else "step", justify="right")
        for key, name in columns:
            footer = course([row[key] for _, row in self._rows if key in row]) if key.startswith("val_") else ""
            table.add_column(name, justify="right", footer=footer, footer_style="cyan")
        table.show_footer = any(column.footer for column in table.columns) and len(self._rows) > 1
        for step, row in self._rows[-_SHOWN:]:
            newest = step == self._rows[-1][0]
            table.add_row(
                str(step),
                *(show(key, row[key]) if key in row else "" for key, _ in columns),
                style="bold" if newest else "",
            )
        return table


def _span(seconds: float) -> str:
    """A length of time as a person reads it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def show(key: str, value: float) -> str:
    """A metric as a person reads it."""
    if key.endswith("accuracy"):
        return f"{value:.1%}"
    if key.endswith("seconds"):
        return f"{value:.2f} s"
    return f"{value:.3g}" if key == "learning_rate" else f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"


def course(values: list[float], width: int = 12) -> str:
    """The last values as a row of little bars."""
    shown = values[-width:]
    low, high = min(shown), max(shown)
    return "".join(_BARS[round((value - low) / ((high - low) or 1) * (len(_BARS) - 1))] for value in shown)
