"""How a search shows itself: a live board on a terminal, one line a trial elsewhere. Both are watchers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from tidemill.cli.progress import course, show

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from rich.table import Table

    from tidemill.project.searching.tune import Begun
    from tidemill.stages.search.loop import Ended, Training, Watcher

_SHOWN = 6  # trials on the board


class TuningDisplay:
    """Makes the watcher of a search that begins, and on a terminal draws it."""

    def __init__(self) -> None:
        self._live: Live | None = None

    def begin(self, begun: Begun) -> Watcher:
        """The watcher of this search, drawn from now on."""
        if not sys.stderr.isatty():
            return TrialLog(begun)
        from rich.console import Console
        from rich.live import Live

        board = TrialBoard(begun)
        self._live = Live(console=Console(stderr=True), refresh_per_second=4, get_renderable=board.render)
        self._live.start()
        return board

    def end(self) -> None:
        """Draw it a last time, and leave the terminal to what comes after; of no effect when it is called again."""
        if self._live is not None:
            self._live.stop()


@contextmanager
def tuning_display() -> Iterator[TuningDisplay]:
    """The display of a search, ended with the block."""
    display = TuningDisplay()
    try:
        yield display
    finally:
        display.end()


def told(values: Mapping[str, Any]) -> str:
    """The settings of a trial, by their last words, as short as they are clear."""
    from tidemill.stages.search.words import short

    words = short(values)
    return " ".join(f"{words[name]}={_spell(value)}" for name, value in values.items())


def _spell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


class TrialLog:
    """A line for each trial that ends."""

    def __init__(self, begun: Begun) -> None:
        self._objective = begun.plan.objectives[0]
        self._metrics = begun.so_far.metrics
        self._best: float | None = begun.so_far.best[0].values[0] if begun.so_far.best else None
        names = ", ".join(f"{each.metric} ({each.direction[:3]})" for each in begun.plan.objectives)
        asked = begun.settings.search.trials
        few = f", only {begun.trials} points" if begun.trials < asked else ""
        goes_on = f", going on after {len(begun.so_far.trials)} trials" if begun.so_far.trials else ""
        number = len(begun.plan.space)
        varied = f"{number} setting{'s' * (number > 1)}, * the best so far"
        click.echo(f"study {begun.study}: {names}, {varied}{few}{goes_on}", err=True)
        if begun.recovered:
            click.echo(f"{begun.recovered} in flight when it was killed: tried again", err=True)

    def began(self, training: Training) -> None:
        """Only ends are worth a line."""

    def measured(self, training: Training, metrics: Mapping[str, float], step: int) -> None:
        """Only ends are worth a line."""

    def ended(self, ended: Ended) -> None:
        """Number, value, whether it is the best so far, seconds, settings."""
        mark = " "
        if ended.state == "complete":
            value = ended.found[0]
            if self._best is None or self._objective.better(value, self._best):
                self._best, mark = value, "*"
            figures = "  ".join(f"{value:.5g}" for value in ended.found)
        else:
            figures = ended.state
        line = f"{ended.number:>5} {mark} {figures:<12} {ended.seconds:>6.1f} s  {told(ended.values)}"
        click.echo(line + (f"  ({ended.reason})" if ended.reason else ""), err=True)


class TrialBoard:
    """The state of a search, and how it looks."""

    def __init__(self, begun: Begun) -> None:
        self._begun, self._objective = begun, begun.plan.objectives[0]
        self._started = time.monotonic()
        self._running: dict[int, Training] = {}
        self._ended: list[Ended] = []
        states = [each.state for each in begun.so_far.trials]
        self._counts = {name: states.count(name) for name in ("complete", "pruned", "failed")}
        self._best: float | None = None
        self._best_settings: Mapping[str, Any] = {}
        if begun.so_far.best:
            self._best, self._best_settings = begun.so_far.best[0].values[0], begun.so_far.best[0].settings
        self._course: list[float] = []

    def began(self, training: Training) -> None:
        """Another row."""
        self._running[training.number] = training

    def measured(self, training: Training, metrics: Mapping[str, float], step: int) -> None:
        """The row looks at the training itself."""

    def ended(self, ended: Ended) -> None:
        """Its row moves down, and the best may be another."""
        self._running.pop(ended.number, None)
        self._ended.append(ended)
        if ended.state in self._counts:
            self._counts[ended.state] += 1
        if ended.state == "complete":
            value = ended.found[0]
            self._course.append(value)
            if self._best is None or self._objective.better(value, self._best):
                self._best, self._best_settings = value, ended.values

    def render(self) -> Group:
        """Title, the trials in work, the last ones, the best, and the bar of the budget."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        search = self._begun.settings.search
        done = sum(self._counts.values())
        elapsed = time.monotonic() - self._started
        names = ", ".join(each.metric for each in self._begun.plan.objectives)
        title = f"search {self._begun.study} · {names} · {search.sampler} · {search.pruner} · {search.workers} at once"
        line = Table.grid(padding=(0, 2))
        counts = f"{done}/{self._begun.trials} trials"
        extra = ", ".join(f"{count} {name}" for name, count in self._counts.items() if count and name != "complete")
        line.add_row(Text(counts, style="bold"), ProgressBar(self._begun.trials, done, width=36),
                     Text(extra, style="dim"), Text(f"{elapsed:.0f} s", style="dim"))  # fmt: skip
        best = Text("no trial has finished yet", style="dim")
        if self._best is not None:
            value, settings = show(self._objective.metric, self._best), told(self._best_settings)
            values = course(self._course) if self._course else ""
            best = Text.assemble(
                ("best ", "dim"), (value, "bold cyan"), "  ", (settings, "cyan"), "  ", (values, "dim")
            )
        return Group(Text(title, style="dim"), self._table(), best, line)

    def _table(self) -> Table:
        from rich import box
        from rich.table import Table

        metric = self._objective.metric
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
        table.add_column("trial", justify="right")
        table.add_column(metric, justify="right")
        table.add_column("", justify="left", min_width=8)
        table.add_column("settings", no_wrap=True, overflow="ellipsis")
        for ended in self._ended[-_SHOWN:]:
            value = ended.found[0] if ended.found else ended.metrics.get(metric)
            state = "" if ended.state == "complete" else ended.state
            shown = "" if value is None else show(metric, value)
            table.add_row(
                str(ended.number), shown, state, ended.reason or told(ended.values), style="dim" if state else ""
            )
        for training in self._running.values():
            value = training.metrics.get(metric)
            table.add_row(str(training.number), "" if value is None else show(metric, value),
                          f"{training.progress:>4.0%}", told(training.values), style="bold")  # fmt: skip
        return table
