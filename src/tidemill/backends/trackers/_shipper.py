"""Sends what a spool holds to MLflow, in order, and again after a failure, until the server has all of it."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from tidemill.backends.trackers._spool import Entry, Spool, known_run
from tidemill.backends.trackers._store import LOCAL_ID, MlflowStore, Value
from tidemill.errors import first_line

REFUSED = "refused.jsonl"
_FIRST, _LONGEST = 0.1, 5.0  # seconds between two attempts, doubled with each
_IDLE = 0.5  # seconds after which an idle shipper looks again
_LOOK = 0.05  # seconds between two looks of who waits
_PATIENCE = 10.0  # seconds of waiting before it is said what for
_WRONG = frozenset({"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"})


class Away(Exception):
    """The server cannot take it now."""


class Waits(Away):
    """The server is there, but something else must come first."""


class Delivery:
    """One spool and the store that it is shipped to. `refused` counts what the server will never take, `sending` is
    the size in bytes of the artefact that is being sent, else 0."""

    def __init__(self, spool: Spool, store: MlflowStore) -> None:
        self.spool, self._store = spool, store
        self.ended = False
        self.refused = self.sending = 0
        self._tried = spool.run is not None or spool.offset > 0

    def ship(self) -> bool:
        """Send what waits, at most a few megabytes; whether there was anything. Raises Away."""
        entries = self.spool.read()
        for group in _together(entries):
            try:
                self._send(group)
            except Away:
                raise
            except Exception as error:  # MLflow, SQLAlchemy, botocore and requests each have a tree of their own
                if getattr(error, "error_code", None) not in _WRONG or self.spool.run is None:
                    raise Away(first_line(error)) from error
                self._refuse(group, error)
            self.spool.shipped(group[-1].end, self.spool.run)
            for entry in group:
                if entry.said["kind"] == "keep":
                    self.spool.drop(entry.said["file"])
        return bool(entries)

    def _send(self, group: list[Entry]) -> None:
        said = group[0].said
        if said["kind"] == "start":
            self.spool.shipped(self.spool.offset, self._run(said))
            return
        if said["kind"] == "adopt":
            self.spool.shipped(self.spool.offset, self._store.find(said["id"]) or said["id"])
            return
        run = self.spool.run
        if run is None:
            raise MlflowException("a spool that does not begin with the start of a run")
        if said["kind"] == "metrics":
            self._metrics(run, group)
        elif said["kind"] == "told":
            held = self._store.held(run)
            values = [Value(*value) for value in said["values"]]
            self._store.metrics(run, [each for each in values if (each.name, each.step) not in held])
        elif said["kind"] == "params":
            self._store.params(run, said["values"])
        elif said["kind"] == "tags":
            self._store.tags(run, said["values"])
        elif said["kind"] == "keep":
            self._keep(run, self.spool.file(said["file"]), said["folder"])
        elif said["kind"] == "reopen":
            self.ended = False
            self._store.reopen(run, said["tags"])
        elif said["kind"] == "finish":
            self._store.find(self.spool.local, ours=run)
            self._store.finish(run, said["status"], at=said["at"])
            self.ended = True

    def _keep(self, run: str, path: Path | None, folder: str) -> None:
        if path is None:
            return
        files = [each for each in (path, *path.rglob("*")) if each.is_file()]
        self.sending = sum(each.stat().st_size for each in files)
        try:
            self._store.keep(run, path, folder)
        finally:
            self.sending = 0

    def _run(self, said: Mapping[str, Any]) -> str:
        """The run, made if it is not there: a killed process may have made it without learning its id."""
        found = self.spool.run or (self._store.find(self.spool.local) if self._tried else None)
        self._tried = True
        if found is not None:
            return found
        tags = {**said["tags"], LOCAL_ID: self.spool.local}
        made = self._store.create(said["name"], tags, parent=self._parent(said["parent"]), at=said["at"])
        return self._store.find(self.spool.local, ours=made) or made

    def _parent(self, parent: str) -> str:
        """MLflow's id of the parent, which may be a local id itself."""
        there, run = known_run(self.spool.folder.parent, parent)
        if there and run is None:
            raise Waits("the run's parent is not there yet")
        return run or (self._store.find(parent) if parent else None) or parent

    def _metrics(self, run: str, group: list[Entry]) -> None:
        values = [Value(*value) for entry in group for value in entry.said["values"]]
        try:
            self._store.metrics(run, values)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            for value in values:  # one of them is bad, and the others are not to be lost with it
                try:
                    self._store.metrics(run, [value])
                except MlflowException as own:
                    if own.error_code != "INVALID_PARAMETER_VALUE":
                        raise
                    self._note({"kind": "metrics", "values": [value]}, own)

    def _refuse(self, group: list[Entry], error: Exception) -> None:
        for entry in group:
            if entry.said["kind"] == "keep":
                name = entry.said["file"]
                self._note({**entry.said, "kept": str(self.spool.refused(name))}, error)
                self.spool.set_aside(name)
            else:
                self._note(entry.said, error)
            self.ended = entry.said["kind"] == "finish"

    def _note(self, said: Mapping[str, Any], error: Exception) -> None:
        self.refused += 1
        line = {"id": self.spool.local, "run": self.spool.run, "error": first_line(error), "entry": said}
        with (self.spool.folder.parent / REFUSED).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class Shipper(threading.Thread):
    """Ships one spool while it is being written, in a thread that does not keep the process alive."""

    def __init__(self, delivery: Delivery, store: MlflowStore) -> None:
        super().__init__(name=f"ships {delivery.spool.local}", daemon=True)
        self._delivery, self._store = delivery, store
        self._changed = threading.Condition()
        self._asked = False
        self.trouble = ""
        self._reached = False

    @property
    def spool(self) -> Spool:
        return self._delivery.spool

    def run(self) -> None:
        """Ends when the end of the run is shipped; then nothing of the spool is left."""
        delay = _FIRST
        while not self._delivery.ended:
            try:
                if self.trouble or self._store.served or not self._reached:
                    self._store.reach()
                    self._reached = True
                moved = self._delivery.ship()
                trouble, delay = "", _FIRST
            except Exception as error:  # the thread must outlive whatever the server does; nothing is acknowledged
                moved, trouble, delay = False, first_line(error), min(_LONGEST, delay * 2)
            with self._changed:
                self.trouble = trouble
                self._changed.notify_all()
                if not self._delivery.ended and not moved:
                    self._changed.wait_for(lambda: self._asked and not self.trouble, delay if trouble else _IDLE)
                    self._asked = False
        self.spool.close(remove=True)

    def wake(self) -> None:
        """There is something to ship that somebody waits for."""
        with self._changed:
            self._asked = True
            self._changed.notify_all()

    def started(self, seconds: float) -> str | None:
        """MLflow's id of the run, waiting so long for it."""
        with self._changed:
            self._changed.wait_for(lambda: self.spool.run is not None or bool(self.trouble), seconds)
        return self.spool.run

    def shipped(self, seconds: float) -> bool:
        """Whether everything that was said so far is shipped; waits as long as there is progress, and so long without.

        An artefact that is being sent is progress, however long it takes.
        """
        end = (self.spool.folder / "entries").stat().st_size
        return self._progressed(lambda: self.spool.offset >= end, stuck=seconds, away=seconds)

    def lingered(self, *, stuck: float, away: float) -> bool:
        """Whether the end of the run is shipped; waits as long as there is progress, and a little without."""
        return self._progressed(lambda: not self.is_alive(), stuck=stuck, away=away)

    def _progressed(self, done: Callable[[], bool], *, stuck: float, away: float) -> bool:
        began = beat = time.monotonic()
        offset, told = self.spool.offset, False
        while not done():
            time.sleep(_LOOK)
            now = time.monotonic()
            if self._delivery.sending or self.spool.offset != offset:
                beat, offset = now, self.spool.offset
            if now - beat > (away if self.trouble else stuck):
                return done()
            if self._delivery.sending and not told and now - began > _PATIENCE:
                say(f"still sending {self._delivery.sending / 1e6:,.0f} MB to the tracking server")
                told = True
        return True

    @property
    def refused(self) -> int:
        return self._delivery.refused


def _together(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Metrics that follow each other go as one; everything else alone."""
    for kind, group in groupby(entries, key=lambda entry: entry.said["kind"]):
        if kind == "metrics":
            yield list(group)
        else:
            yield from ([entry] for entry in group)


def say(text: str) -> None:
    """A note, or what belongs to one, beside the command's answer."""
    print(f"note: {text}" if not text.startswith("  ") else f"    {text}", file=sys.stderr, flush=True)
