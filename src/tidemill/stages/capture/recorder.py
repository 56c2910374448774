"""Watches a running script from a thread: takes notes, passes figures on, and digests files as early as it can."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from tidemill.stages.capture.notes import Note, NoteLog
from tidemill.stages.capture.table import FileTable
from tidemill.stages.capture.told import Lines, notes

_EVERY = 0.25  # seconds between two looks
_PASS_ON = 8  # looks between two times that figures are passed on
_NICE = 19
Row = tuple[str, float, int, int]
"""A metric's name, value, time in ms, and step."""
PassOn = Callable[[list[Row], Mapping[str, Any], Mapping[str, str]], None]


class Recorder:
    """Begins at once. `log` is None where only Python's audit hook notes files; `seen` gives notes of another kind.

    `pass_on(metrics, parameters, tags)` is called from the recorder's thread every two seconds when there is something.
    """

    def __init__(
        self, folder: Path, log: NoteLog | None, table: FileTable, pass_on: PassOn,
        seen: Callable[[], Iterator[Note]] | None = None,
    ) -> None:  # fmt: skip
        self._log, self._table, self._pass_on, self._seen = log, table, pass_on, seen
        self._told, self._opens = Lines(folder, "told"), Lines(folder, "opens")
        self._metrics: list[Row] = []
        self._params: dict[str, Any] = {}
        self._tags: dict[str, str] = {}
        self._done = threading.Event()
        self.problem = ""
        self._threads = [
            threading.Thread(target=self._look_on, name="recorder", daemon=True),
            threading.Thread(target=self._digest, name="digests", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Take what is left, after the script has ended."""
        self._done.set()
        for thread in self._threads:
            thread.join()
        self._take()
        if self._log is not None and self._log.skip_unfinished():
            self._take()
        self._table.finish()
        self._flush()

    def _look_on(self) -> None:
        looks = 0
        while not self._done.wait(_EVERY):
            looks += 1
            self._take()
            if looks % _PASS_ON == 0:
                self._flush()

    def _take(self) -> None:
        for note in self._log.read() if self._log is not None else notes(self._opens.new()):
            self._table.see(note)
        if self._seen is not None:
            for note in self._seen():
                self._table.see(note)
        for line in self._told.new():
            self._hear(line)

    def _hear(self, line: Any) -> None:
        """What the script's process says is checked: it may be anybody's."""
        if not isinstance(line, dict):
            return
        at, step = line.get("at"), line.get("s", 0)
        if _fits(at) and _fits(step) and isinstance(line.get("m"), dict):
            for key, value in line["m"].items():
                if isinstance(value, float) or _fits(value):
                    self._metrics.append((_name(key), float(value), at, step))
        if isinstance(line.get("p"), dict):
            self._params |= {_name(key): value for key, value in line["p"].items() if key not in self._params}
        if isinstance(line.get("t"), dict):
            self._tags |= {f"tidemill.{key}": str(value) for key, value in line["t"].items()}

    def _flush(self) -> None:
        if self._metrics or self._params or self._tags:
            metrics, params, tags = self._metrics, self._params, self._tags
            self._metrics, self._params, self._tags = [], {}, {}
            try:
                self._pass_on(metrics, params, tags)
            except Exception as error:  # the script goes on whatever the tracker says; the end of the run tells it
                self.problem = (
                    f"figures were lost: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
                )

    def _digest(self) -> None:
        """At the lowest priority: the script's processes come first."""
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while not self._done.is_set():
            if not self._table.digest_one():
                self._done.wait(_EVERY)


def _fits(number: object) -> TypeGuard[int]:
    """Whether it is a whole number that a database takes."""
    return isinstance(number, int) and abs(number) < 2**63


def _name(key: object) -> str:
    """A name that MLflow takes."""
    text = "".join(letter if letter.isalnum() or letter in "_-. :/" else "_" for letter in str(key))[:250]
    return text.lstrip("./") or "_"
