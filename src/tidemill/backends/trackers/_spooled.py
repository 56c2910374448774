"""Runs on a tracking server that may be away: said to disk first, and shipped from there by a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidemill.backends.trackers._shipper import REFUSED, Away, Delivery, Shipper, say
from tidemill.backends.trackers._spool import Spool, spools
from tidemill.backends.trackers._store import MlflowStore, Value, quiet, run_tags
from tidemill.backends.trackers._sweep import check, ship_waiting
from tidemill.errors import BusyError, NotFoundError, StateError, StorageError, TidemillError
from tidemill.ports import Told

_GREET = 3.0  # seconds that a start waits for MLflow's id
_STUCK, _AWAY = 10.0, 2.0  # seconds without progress that an end waits: for a server that is there, for one that is not
_AGAIN = 10.0  # seconds between two attempts to ship what dead processes left


class SpooledRuns:
    """The runs of one process, each with its spool below `root` and its shipper."""

    def __init__(self, store: MlflowStore, root: Path, *, wait: float) -> None:
        self._store, self._root, self._wait = store, root, wait
        self._shippers: dict[str, Shipper] = {}
        self._swept = False
        quiet()

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str], parent: str) -> str:
        """MLflow's id of the run, or a local one when the server does not answer within seconds."""
        spool = Spool.new(self._root)
        said = {"kind": "start", "name": name, "tags": run_tags(tags), "parent": parent, "at": _now(),
                "address": self._store.address}  # fmt: skip
        spool.append(said)
        spool.append({"kind": "params", "values": {key: str(value) for key, value in params.items()}}, durable=True)
        run = self._begin(spool, _GREET)
        self._sweep()
        return run

    def resume(self, run: str, tags: Mapping[str, str], told: Told) -> str:
        """Go on in a run that ended or whose process died; what it was `told` and did not get to the spool follows."""
        spool = self._reopen(run)
        values = [(name, value, _now(), step) for metrics, step in told for name, value in metrics.items()]
        spool.append({"kind": "told", "values": values})
        spool.append({"kind": "reopen", "tags": {**run_tags({}), **tags}}, durable=True)
        found = self._begin(spool, _GREET)
        self._shippers[run] = self._shippers[found]
        self._sweep()
        return run if found == spool.local else found

    def next_sample(self, run: str) -> int:
        """Samples of the machine's load are counted from 0 again: they are told apart by their time."""
        return 0

    def log(self, run: str, values: list[Value]) -> None:
        self._of(run).spool.append({"kind": "metrics", "values": values})

    def add(self, run: str, values: list[Value], params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Metrics, parameters and tags that are known only later."""
        spool = self._of(run).spool
        if values:
            spool.append({"kind": "metrics", "values": values})
        if params:
            spool.append({"kind": "params", "values": {key: str(value) for key, value in params.items()}})
        if tags:
            spool.append({"kind": "tags", "values": dict(tags)})

    def keep(self, run: str, path: Path, folder: str) -> None:
        spool = self._of(run).spool
        spool.append({"kind": "keep", "file": spool.take(path), "folder": folder, "dir": path.is_dir()}, durable=True)

    def finish(self, run: str, status: str) -> None:
        """Waits a little for the server to have it all, and says when it has not."""
        shipper = self._of(run)
        shipper.spool.append({"kind": "finish", "status": status, "at": _now()}, durable=True)
        shipper.wake()
        done = shipper.lingered(stuck=_STUCK, away=_AWAY)
        if shipper.refused:
            say(f"the tracking server refused {shipper.refused} of what was logged; it is in {self._root / REFUSED}")
        if not done:
            say(f"{shipper.spool.waiting()} entries of run {run} wait for the tracking server; when it is back:")
            say("  tidemill sync")
        for key in [key for key, each in self._shippers.items() if each is shipper]:
            del self._shippers[key]

    def settle(self, run: str) -> str:
        """MLflow's id of the run, once the server has everything said of it.

        Raises StorageError when nothing has moved for as long as `wait`; what was said stays in the spool.
        """
        shipper = self._of(run)
        shipper.wake()
        if not shipper.shipped(self._wait) or shipper.spool.run is None:
            how = f"has been away for {self._wait:.0f} s: {shipper.trouble}"
            if not shipper.trouble:
                how = f"has not answered for {self._wait:.0f} s"
            raise StorageError(
                f"the tracking server {self._store.address} {how}",
                f"what was logged waits in {shipper.spool.folder}; when it is back:  tidemill train --resume",
            )
        return shipper.spool.run

    def fetch(self, run: str, folder: str, into: Path) -> Path:
        if run in self._shippers:
            run = self.settle(run)
        found = self._store.find(run) if self._is_local(run) else None
        return self._store.fetch(found or run, folder, into)

    def _is_local(self, run: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            self._store.client.get_run(run)
        except MlflowException:
            return True
        return False

    def _begin(self, spool: Spool, seconds: float) -> str:
        shipper = Shipper(Delivery(spool, self._store), self._store)
        shipper.start()
        run = spool.run or shipper.started(seconds)
        if run is None:
            why = f" ({shipper.trouble})" if shipper.trouble else ""
            say(f"the tracking server {self._store.address} does not answer{why}")
            say(f"  the work goes on; what is logged waits in {spool.folder}")
        self._shippers[spool.local] = shipper
        if run is not None:
            self._shippers[run] = shipper
        return run or spool.local

    def _reopen(self, run: str) -> Spool:
        """The spool that a dead process left of the run, else a new one of the run that the server has."""
        deadline = time.monotonic() + _AGAIN
        for local in spools(self._root):
            while True:
                try:
                    spool = Spool(self._root / local)
                except FileNotFoundError:
                    break
                except BusyError:
                    if local == run and time.monotonic() < deadline:
                        time.sleep(0.1)
                        continue
                    if local == run:
                        raise
                    break
                if run in (local, spool.run, spool.adopted()):
                    check(spool, self._store)
                    return spool
                spool.close()
                break
        spool = Spool.new(self._root)
        spool.append({"kind": "adopt", "id": run, "address": self._store.address})
        return spool

    def _sweep(self) -> None:
        """Ship what dead processes left, and end their runs; once in a process, in the background."""
        if self._swept:
            return
        self._swept = True
        threading.Thread(target=self._sweep_until_done, name="ships what waited", daemon=True).start()

    def _sweep_until_done(self) -> None:
        said: set[str] = set()

        def hear(error: TidemillError) -> None:
            if not isinstance(error, StateError) and error.headline not in said:  # another server's are no news here
                said.add(error.headline)
                say(error.headline)
                say(f"  {error.remedy}")

        while True:
            try:
                for _ in ship_waiting(self._root, self._store, hear):
                    pass
                self._store.end_dead(spools(self._root))
                return
            except (Away, OSError):
                time.sleep(_AGAIN)
            except Exception:  # whatever the server or its driver says: the next command tries again
                return

    def _of(self, run: str) -> Shipper:
        if run not in self._shippers:
            raise NotFoundError(f"the run {run} is not open in this process", "start it first")
        return self._shippers[run]


def _now() -> int:
    return int(time.time() * 1000)
