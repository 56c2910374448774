"""A worker of a search: trains one trial after the other, and keeps the data open in between.

Started as a module with the file descriptor of a socket. It reads jobs from it and answers with what training reports;
when nobody is at the other end any more, it ends, whatever it is doing.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.ports import StopTraining

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset

_EVERY = 0.25  # seconds between two words on progress


class Line:
    """The socket: jobs and answers come in, in a thread of their own, so that its end is noticed at once."""

    def __init__(self, descriptor: int) -> None:
        self._connection = Connection(descriptor)
        self._came: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, name="line", daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                self._came.put(json.loads(self._connection.recv_bytes()))
            except (EOFError, OSError):
                os._exit(0)  # the search is over, or dead

    def send(self, **message: Any) -> None:
        self._connection.send_bytes(json.dumps(message).encode())

    def receive(self) -> dict[str, Any]:
        return self._came.get()


class Reports:
    """A Reporter that hands everything to the search, and ends the training when the search says so."""

    def __init__(self, line: Line, trial: int, *, judged: bool) -> None:
        self._line, self._trial, self._judged = line, trial, judged
        self._told = 0.0
        self.history: list[tuple[int, dict[str, float]]] = []

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Raises StopTraining when the trial has fallen behind."""
        found = {name: float(value) for name, value in values.items()}
        self.history.append((step, found))
        self._line.send(kind="metrics", trial=self._trial, metrics=found, step=step)
        if self._judged and (why := self._line.receive()["stop"]):
            raise StopTraining(why)

    def progress(self, done: int, total: int, note: str) -> None:
        """A word a few times a second."""
        if total > 1 and time.monotonic() - self._told > _EVERY:
            self._told = time.monotonic()
            self._line.send(kind="progress", trial=self._trial, share=done / total)


def kept(config: Config, history: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """The metrics of the weights that training ended with: those of the best step, where that is gone back to."""
    latest: dict[str, float] = {}
    for _, values in history:
        latest |= values
    monitor = _judge(config, latest)
    if not monitor:
        return latest
    sign = -1 if monitor.endswith("accuracy") else 1
    return {
        **latest,
        **min((values for _, values in history if monitor in values), key=lambda each: sign * each[monitor]),
    }


def _judge(config: Config, latest: Mapping[str, float]) -> str:
    """The metric that chose the weights; none where the last ones were kept."""
    monitor: str = config.callbacks.early_stopping.monitor if config.callbacks.checkpoint else ""
    if config.task == "tabular":  # a booster is cut after its best tree
        cut = config.model.kind == "xgboost" and config.model.params["patience"]
        monitor = ("val_rmse" if "val_rmse" in latest else "val_loss") if cut else ""
    return monitor if monitor in latest else ""


class Bench:
    """What stays between trials: the data, and the family with what it has made ready of them."""

    def __init__(self, task: str, root: Path, scratch: Path) -> None:
        from tidemill.project.families import family_of

        self._family = family_of(task, root)  # type: ignore[arg-type]  # the search's own, from a checked configuration
        self._scratch = scratch

    def train(self, job: Mapping[str, Any], reports: Reports) -> dict[str, Any]:
        """The answer to a job; whatever goes wrong is an answer, too."""
        from tidemill.config.check import checked

        workdir = self._scratch / f"{os.getpid()}-{job['trial']}"
        workdir.mkdir(parents=True)
        began = time.monotonic()
        try:
            config = checked(job["config"], lambda path: path)
            model = self._family.fit(config, _data(job["data"]), reports, workdir)
            seconds = time.monotonic() - began
            costs = {"fit_seconds": seconds}
            if "trainable_params" in job["metrics"]:  # counting a booster's leaves takes its time
                costs["trainable_params"] = float(model.params)
            return {"kind": "done", "metrics": {**kept(config, reports.history), **costs}, "seconds": seconds}
        except StopTraining as stopped:
            return {"kind": "stopped", "why": str(stopped), "seconds": time.monotonic() - began}
        except Exception as error:  # the trial has failed, and the next one may not
            return {"kind": "failed", "reason": _reason(error), "seconds": time.monotonic() - began}
        finally:
            shutil.rmtree(workdir, ignore_errors=True)


@lru_cache(maxsize=2)
def _data(folder: str) -> PackedDataset:
    from tidemill.dataset.read import open_dataset

    return open_dataset(Path(folder))


def _reason(error: Exception) -> str:
    from tidemill.errors import TidemillError

    if isinstance(error, TidemillError):
        return error.headline
    first = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, MemoryError) or "out of memory" in first or "can't allocate memory" in first:
        _free()
        return f"out of memory: {first or 'the training needs more than there is'}"
    return f"{type(error).__name__}: {first}"


def _free() -> None:
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def main(descriptor: int, task: str, root: Path, scratch: Path) -> None:
    """Answer jobs until the other end is gone."""
    from tidemill.process import contain_caches, limit_threads, switch_off_telemetry, wait_without_spinning
    from tidemill.project.layout import Layout

    line = Line(descriptor)
    switch_off_telemetry()
    wait_without_spinning()
    limit_threads()
    contain_caches(Layout(root).cache)
    bench = Bench(task, root, scratch)
    line.send(kind="ready")
    while True:
        job = line.receive()
        reports = Reports(line, int(job["trial"]), judged=bool(job["judged"]))
        line.send(**bench.train(job, reports), trial=int(job["trial"]))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
