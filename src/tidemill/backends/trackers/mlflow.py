"""Runs in MLflow, through its client alone: no global state, explicit tracking URI, metrics in batches.

A local store is written to at once. A server, a database server and an object store may be away: what is meant for
them goes to disk first (`_spool.py`), and from there in order, once (`_shipper.py`).
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tidemill.backends.trackers._gpu import gpu_text
from tidemill.backends.trackers._shipper import Away
from tidemill.backends.trackers._spool import spools
from tidemill.backends.trackers._spooled import SpooledRuns
from tidemill.backends.trackers._store import MlflowStore, Value, run_tags
from tidemill.backends.trackers._sweep import ship_waiting
from tidemill.backends.trackers._system import SystemSampler
from tidemill.errors import TidemillError, first_line

if TYPE_CHECKING:
    from tidemill.ports import Told, Tracker

__all__ = ["Away", "MlflowTracker"]

_EVERY = 1.0  # seconds that metrics are held back, to be written together


class MlflowTracker:
    """Keeps runs in the experiment `experiment` at `uri`; `artifacts` is where those of a new experiment lie: a folder,
    an address of an object store, or None for where the server says.

    `parent` is the run under which new ones are shown. With `system_metrics` the machine's load is tracked,
    and its GPUs are kept as `system/gpu.txt`. With `spool`, a folder, no verb but `settle` and `fetch` waits for the
    server, and those at most `wait` seconds without progress. `address` is what the spool calls this place, so that
    it is never sent elsewhere; without it the URI, without secrets.
    """

    def __init__(
        self,
        uri: str,
        *,
        experiment: str,
        artifacts: Path | str | None = None,
        parent: str = "",
        system_metrics: bool = False,
        spool: Path | None = None,
        wait: float = 120.0,
        address: str | None = None,
    ) -> None:
        place = None if artifacts is None else str(artifacts)
        self._store = MlflowStore(uri, experiment=experiment, artifacts=place, address=address)
        self._runs = DirectRuns(self._store) if spool is None else SpooledRuns(self._store, spool, wait=wait)
        self._spool, self._parent, self._system_metrics = spool, parent, system_metrics
        self._samplers: dict[str, SystemSampler] = {}

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Runs of this host whose process is dead are ended first."""
        run = self._sampled(self._runs.start(name, params, tags, self._parent))
        if self._system_metrics:
            with tempfile.TemporaryDirectory() as folder:
                text = Path(folder) / "gpu.txt"
                text.write_text(gpu_text(), encoding="utf-8")
                self._runs.keep(run, text, "system")
        return run

    def resume(self, run: str, tags: Mapping[str, str], told: Told) -> str:
        """Go on in a run that ended or whose process died; its id, which is another where `run` was a local one."""
        found = self._runs.resume(run, tags, told)
        return self._sampled(found, first=self._runs.next_sample(found))

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """Written at once when the last writing is a second ago, and at the latest with `keep` or `finish`."""
        at = int(time.time() * 1000)
        self._runs.log(run, [Value(name, float(value), at, step) for name, value in metrics.items()])

    def add(
        self, run: str, *, metrics: Iterable[Value] = (), params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """What is known only later; the metrics bring their own time."""
        self._runs.add(run, list(metrics), params or {}, tags or {})

    def keep(self, run: str, path: Path, folder: str) -> None:
        """A file, or all files under a directory."""
        self._runs.keep(run, path, folder)

    def finish(self, run: str, status: Literal["finished", "failed", "killed"]) -> None:
        """Write what is held back and end the run."""
        sampler = self._samplers.pop(run, None)
        if sampler is not None:
            sampler.stop()
        self._runs.finish(run, status)

    def fetch(self, run: str, folder: str, into: Path) -> Path:
        """The artefacts under `folder`, copied below `into`."""
        return self._runs.fetch(run, folder, into)

    def settle(self, run: str) -> str:
        """MLflow's id of an open run, once the store has everything that was said of it.

        Raises StorageError when the server stays away.
        """
        return self._runs.settle(run)

    def sync(self) -> Iterator[tuple[str, int]]:
        """Send what ended processes could not: each run's local id, and how many entries it was.

        Raises Away; when the others are sent, StateError for what is meant for another server, StorageError for what
        cannot be read.
        """
        if self._spool is None or not spools(self._spool):
            return
        heard: list[TidemillError] = []
        yield from ship_waiting(self._spool, self._store, heard.append)
        if heard:
            raise heard[0]
        try:
            self._store.reach()
            self._store.end_dead(spools(self._spool))
        except TidemillError:
            raise
        except Exception as error:  # MLflow, SQLAlchemy and requests each have a tree of their own
            raise Away(first_line(error)) from error

    def _sampled(self, run: str, first: int = 0) -> str:
        if self._system_metrics:
            self._samplers[run] = SystemSampler(lambda metrics, step: self.log(run, metrics, first + step))
        return run


class DirectRuns:
    """Runs in a store that is a file here."""

    def __init__(self, store: MlflowStore) -> None:
        self._store = store
        self._pending: dict[str, list[Value]] = {}
        self._written = time.monotonic()
        self._lock = threading.Lock()

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str], parent: str) -> str:
        self._store.end_dead()
        run = self._store.create(name, run_tags(tags), parent=parent)
        self._store.params(run, params)
        return run

    def resume(self, run: str, tags: Mapping[str, str], told: Told) -> str:
        held = self._store.held(run)
        at = int(time.time() * 1000)
        missing = [Value(name, value, at, step) for values, step in told for name, value in values.items()
                   if (name, step) not in held]  # fmt: skip
        self._store.reopen(run, {**run_tags({}), **tags})
        self._store.metrics(run, missing)
        return run

    def next_sample(self, run: str) -> int:
        """The step of the next sample of the machine's load."""
        return self._store.next_sample(run)

    def log(self, run: str, values: list[Value]) -> None:
        with self._lock:
            self._pending.setdefault(run, []).extend(values)
            if time.monotonic() - self._written > _EVERY:
                self._flush()

    def add(self, run: str, values: list[Value], params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        self._store.metrics(run, values)
        self._store.params(run, params)
        self._store.tags(run, tags)

    def keep(self, run: str, path: Path, folder: str) -> None:
        self.settle(run)
        self._store.keep(run, path, folder)

    def finish(self, run: str, status: str) -> None:
        self.settle(run)
        self._store.finish(run, status)

    def fetch(self, run: str, folder: str, into: Path) -> Path:
        return self._store.fetch(run, folder, into)

    def settle(self, run: str) -> str:
        with self._lock:
            self._flush()
        return run

    def _flush(self) -> None:
        self._written = time.monotonic()
        for run, values in self._pending.items():
            self._store.metrics(run, values)
        self._pending.clear()


if TYPE_CHECKING:
    _fits: type[Tracker] = MlflowTracker
