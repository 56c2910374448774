"""The search itself: trials to workers, their values to the study, until the budget is spent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tidemill.errors import TidemillError
from tidemill.stages.search.plan import Objective
from tidemill.stages.search.trials import Asked, Trials
from tidemill.stages.search.workers import Event, Worker, Workers

State = Literal["complete", "pruned", "failed", "lost"]
_TICK = 0.5  # seconds
_FRUITLESS = 5  # first trials that may all fail before the search gives up


@dataclass(frozen=True, slots=True)
class Budget:
    """What ends a search, whichever comes first: `trials` of the whole study, `timeout` seconds, a value to reach."""

    trials: int
    timeout: float = 0.0
    target: float | None = None


@dataclass
class Training:
    """A trial in the hands of a worker."""

    number: int
    values: Mapping[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    step: int = 0
    progress: float = 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a trial ended: `values` one for each objective when it is complete, otherwise `reason`."""

    number: int
    values: Mapping[str, Any]
    state: State
    metrics: Mapping[str, float]
    found: tuple[float, ...] = ()
    seconds: float = 0.0
    reason: str = ""


class Watcher(Protocol):
    """Hears of every trial; the terminal and the tracker are watchers."""

    def began(self, training: Training) -> None: ...

    def measured(self, training: Training, metrics: Mapping[str, float], step: int) -> None: ...

    def ended(self, ended: Ended) -> None: ...


class Search:
    """One call of the command: `job` makes the message for a worker of the settings that a trial tries."""

    def __init__(
        self, trials: Trials, workers: Workers, objectives: tuple[Objective, ...], budget: Budget, *,
        job: Callable[[Asked], Mapping[str, Any]], watchers: list[Watcher], judged: bool,
    ) -> None:  # fmt: skip
        self._trials, self._workers, self._objectives, self._budget = trials, workers, objectives, budget
        self._job, self._watchers, self._judged = job, watchers, judged
        self._began = time.monotonic()
        self._counted = trials.counted()
        self._good, self._first_reason = len(trials.front()) > 0, ""
        self._reached = self._is_reached()
        self.training: dict[int, Training] = {}

    def run(self) -> str:
        """Until the budget is spent: `trials`, `timeout` or `target`.

        Raises TidemillError when no trial is any good. Ctrl-C, and the timeout, put what is in flight back.
        """
        try:
            while True:
                why = self._over()
                if not why:
                    self._hand_out()
                self._check_fruit(done=bool(why))
                if why in ("timeout", "target") or (why and not self.training):
                    return why
                for event in self._workers.wait(_TICK):
                    self._take(event)
        finally:
            self._put_back()

    def _over(self) -> str:
        if self._reached:
            return "target"
        if self._budget.timeout and time.monotonic() - self._began > self._budget.timeout:
            return "timeout"
        return "trials" if self._counted + len(self.training) >= self._budget.trials else ""

    def _hand_out(self) -> None:
        for worker in self._workers.idle():
            if self._counted + len(self.training) >= self._budget.trials:
                return
            asked = self._trials.ask()
            training = Training(asked.number, asked.values)
            try:
                job = self._job(asked)
            except TidemillError as error:  # this combination is not allowed
                self._trials.fail(asked.number, error.headline)
                self._counted += 1
                self._tell(Ended(asked.number, asked.values, "failed", {}, reason=error.headline))
                continue
            self.training[asked.number], worker.trial = training, asked.number
            worker.send({**job, "kind": "train", "trial": asked.number, "judged": self._judged})
            for each in self._watchers:
                each.began(training)

    def _take(self, event: Event) -> None:
        worker, message = event.worker, event.message
        if message is None:
            self._worker_died(worker, event.reason)
            return
        training = self.training.get(int(message.get("trial", -1)))
        if training is None:
            return
        match message["kind"]:
            case "progress":
                training.progress = float(message["share"])
            case "metrics":
                self._measured(worker, training, message)
            case "done":
                self._done(worker, training, message)
            case "stopped":
                self._stopped(worker, training, message)
            case "failed":
                self._close(worker, training, "failed", message, reason=str(message["reason"]))

    def _measured(self, worker: Worker, training: Training, message: Mapping[str, Any]) -> None:
        metrics, step = {name: float(value) for name, value in message["metrics"].items()}, int(message["step"])
        training.metrics.update(metrics)
        training.step = step
        if self._judged:
            value = metrics.get(self._objectives[0].metric)
            worker.send({"stop": "" if value is None else self._trials.report(training.number, value, step)})
        for each in self._watchers:
            each.measured(training, metrics, step)

    def _stopped(self, worker: Worker, training: Training, message: Mapping[str, Any]) -> None:
        if message["why"] == "pruned":
            self._close(worker, training, "pruned", message)
        else:
            name = self._objectives[0].metric
            self._close(worker, training, "failed", message, reason=f"{name} was no number at step {training.step}")

    def _done(self, worker: Worker, training: Training, message: Mapping[str, Any]) -> None:
        training.metrics.update({name: float(value) for name, value in message["metrics"].items()})
        missing = [each.metric for each in self._objectives if each.metric not in training.metrics]
        if missing:
            known = ", ".join(sorted(training.metrics))
            self._close(worker, training, "failed", message, reason=f"training reports no {missing[0]}, but {known}")
            return
        found = tuple(training.metrics[each.metric] for each in self._objectives)
        if not all(map(math.isfinite, found)):
            self._close(worker, training, "failed", message, reason=f"{self._objectives[0].metric} is no number")
            return
        self._close(worker, training, "complete", message, found=found)

    def _close(
        self, worker: Worker, training: Training, state: State, message: Mapping[str, Any], *,
        reason: str = "", found: tuple[float, ...] = (),
    ) -> None:  # fmt: skip
        worker.trial = None
        del self.training[training.number]
        seconds = float(message["seconds"])
        match state:
            case "complete":
                self._trials.complete(training.number, found, seconds)
                self._good = True
                self._reached = self._is_reached()
            case "pruned":
                self._trials.prune(training.number, seconds)
            case _:
                self._trials.fail(training.number, reason)
        self._counted += 1
        if not self._over():
            self._hand_out()  # before anybody is told: the worker need not wait for that
        self._tell(Ended(training.number, training.values, state, dict(training.metrics), found, seconds, reason))

    def _worker_died(self, worker: Worker, reason: str) -> None:
        training = self.training.pop(worker.trial, None) if worker.trial is not None else None
        if training is not None:
            again = self._trials.lose(training.number, reason, lives=True)
            state: State = "lost" if again else "failed"
            self._counted += not again
            self._tell(Ended(training.number, training.values, state, training.metrics, reason=reason))

    def _put_back(self) -> None:
        for training in list(self.training.values()):
            self._trials.lose(training.number, "the search was stopped", lives=False)
            self._tell(Ended(training.number, training.values, "lost", training.metrics,
                             reason="the search was stopped"))  # fmt: skip
        self.training.clear()

    def _tell(self, ended: Ended) -> None:
        if ended.state == "failed":
            self._first_reason = self._first_reason or ended.reason
        for each in self._watchers:
            each.ended(ended)

    def _is_reached(self) -> bool:
        best, wanted = self._trials.best(), self._budget.target
        if wanted is None or best is None:
            return False
        return bool(best.values[0] == wanted) or self._objectives[0].better(best.values[0], wanted)

    def _check_fruit(self, *, done: bool) -> None:
        over = done and not self.training
        if self._first_reason and not self._good and (over or self._counted >= _FRUITLESS + len(self._workers.all)):
            raise TidemillError(
                f"no trial succeeded, {self._counted} failed; the first: {self._first_reason}",
                "check the settings that all of them share, or the space",
            )
