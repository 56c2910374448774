"""A search in MLflow: one run for the study, and under it one for each trial, written while the next trial trains."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from tidemill.backends.trackers._owner import owner_tags

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from tidemill.backends.trackers.mlflow import MlflowTracker
    from tidemill.stages.search.loop import Ended, Training

_STATUS: dict[str, Literal["finished", "failed", "killed"]] = {
    "complete": "finished", "pruned": "finished", "failed": "failed", "lost": "killed",
}  # fmt: skip


def reopen(client: MlflowClient, run: str) -> bool:
    """Make the study's run go on as this process's; False when there is no such run any more."""
    from mlflow.entities import RunTag
    from mlflow.exceptions import MlflowException

    try:
        if client.get_run(run).info.lifecycle_stage != "active":
            return False
        client.update_run(run, status="RUNNING")
        client.log_batch(run, tags=[RunTag(name, value) for name, value in owner_tags().items()])
    except MlflowException:
        return False
    return True


class TrialRuns:
    """A Watcher that keeps each trial as a child run. What MLflow refuses is counted, and the search goes on."""

    def __init__(self, tracker: MlflowTracker, client: MlflowClient, *, study: str, tags: Mapping[str, str]) -> None:
        self._tracker, self._client, self._study, self._tags = tracker, client, study, dict(tags)
        self._runs: dict[int, str] = {}
        self._todo: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=1000)
        self.refused: list[str] = []
        self._thread = threading.Thread(target=self._write, name="trial-runs", daemon=True)
        self._thread.start()

    def began(self, training: Training) -> None:
        """A new child run with the settings that the trial tries."""
        number, values = training.number, dict(training.values)
        self._todo.put(lambda: self._start(number, values))

    def measured(self, training: Training, metrics: Mapping[str, float], step: int) -> None:
        """Metrics of a step."""
        number = training.number
        self._todo.put(lambda: self._tracker.log(self._runs[number], metrics, step) if number in self._runs else None)

    def ended(self, ended: Ended) -> None:
        """The run ends with its state and reason as tags."""
        self._todo.put(lambda: self._finish(ended))

    def close(self) -> None:
        """Return when everything is written."""
        self._todo.put(None)
        self._thread.join()

    def _start(self, number: int, values: Mapping[str, Any]) -> None:
        tags = {**self._tags, "tidemill.study": self._study, "tidemill.trial": str(number)}
        self._runs[number] = self._tracker.start(f"trial {number}", values, tags)

    def _finish(self, ended: Ended) -> None:
        from mlflow.entities import RunTag

        if ended.number not in self._runs:  # it never began: its settings are not allowed
            self._start(ended.number, ended.values)
        run = self._runs.pop(ended.number)
        last = {name: value for name, value in ended.metrics.items() if name in ("fit_seconds", "trainable_params")}
        if last:
            self._tracker.log(run, last, 0)
        tags = [RunTag("tidemill.state", ended.state)]
        tags += [RunTag("tidemill.reason", ended.reason[:5000])] if ended.reason else []
        self._client.log_batch(run, tags=tags)
        self._tracker.finish(run, _STATUS[ended.state])

    def _write(self) -> None:
        while (work := self._todo.get()) is not None:
            try:
                work()
            except Exception as error:  # the study in the database is the truth; this is its picture
                self.refused.append((str(error).splitlines() or [type(error).__name__])[0])
