"""A progress bar on standard error while that is a terminal; nothing elsewhere. It is a ports.Reporter."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from tidemill.ports import Reporter


class Bar:
    """One line, which says what is done and how far; without a `Progress` it is silent."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task = progress.add_task("getting ready", total=None) if progress is not None else None

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Figures have their own place."""

    def progress(self, done: int, total: int, note: str) -> None:
        """Move the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, description=note)


@contextmanager
def bar() -> Iterator[Reporter]:
    """A Reporter that is gone when the work is done."""
    if not sys.stderr.isatty():
        yield Bar(None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield Bar(shown)
