"""The trials of a study: asked for, reported on, told; and those that a dead process left open."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from tidemill.stages.search.plan import Plan, internal
from tidemill.stages.search.study import distributions

OWNER, REASON, LOST, AGAIN, SECONDS = "owner", "reason", "lost", "again", "seconds"
_LIVES = 2  # a trial whose worker was killed is tried once more: the second time the trial is at fault
_UNOWNED = timedelta(minutes=1)


class Asked(NamedTuple):
    """A trial to be trained: its number, and the settings that it tries."""

    number: int
    values: Mapping[str, Any]


class Trials:
    """A study, through the verbs of this search. `owner` marks this process in the database."""

    def __init__(self, study: optuna.Study, plan: Plan, *, owner: Mapping[str, str]) -> None:
        self.study, self._plan, self._owner = study, plan, dict(owner)
        self._distributions = distributions(plan.space)
        self._open: dict[int, Trial] = {}

    def recover(self, is_dead: Callable[[Mapping[str, str]], bool]) -> int:
        """Close the trials of processes that are gone and put them back; how many there were."""
        found = 0
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner = trial.user_attrs.get(OWNER)
            old = datetime.now() - (trial.datetime_start or datetime.now()) > _UNOWNED
            if (owner is None and old) or (owner is not None and is_dead(owner)):
                self._put_back(trial, "its search was killed", lives=False)
                found += 1
        return found

    def counted(self) -> int:
        """Trials that count: finished, pruned or failed for reasons of their own."""
        over = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
        return sum(not trial.user_attrs.get(LOST) for trial in over)

    def waiting(self) -> int:
        """Trials that are enqueued: put back, or rows of a grid."""
        return len(self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def open(self) -> int:
        """Trials in work, of this process and others."""
        return len(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def ask(self) -> Asked:
        """The next trial."""
        trial = self.study.ask(self._distributions)
        trial.set_user_attr(OWNER, self._owner)
        self._open[trial.number] = trial
        values = {name: internal(self._plan.space[name], value) for name, value in trial.params.items()}
        return Asked(trial.number, values)

    def report(self, number: int, value: float, step: int) -> str:
        """Keep a value on the way; why the trial shall end here, or nothing."""
        trial = self._open[number]
        if not math.isfinite(value):
            return "nan"
        trial.report(value, step)
        return "pruned" if trial.should_prune() else ""

    def complete(self, number: int, values: Sequence[float], seconds: float) -> None:
        """It ended with these values, one for each objective."""
        trial = self._open.pop(number)
        trial.set_user_attr(SECONDS, round(seconds, 3))
        self.study.tell(trial, list(values))

    def prune(self, number: int, seconds: float) -> None:
        """It ended early; its last value counts for what it is."""
        trial = self._open.pop(number)
        trial.set_user_attr(SECONDS, round(seconds, 3))
        self.study.tell(trial, state=TrialState.PRUNED)

    def fail(self, number: int, reason: str) -> None:
        """It went wrong by its own settings."""
        trial = self._open.pop(number)
        trial.set_user_attr(REASON, reason[:500])
        self.study.tell(trial, state=TrialState.FAIL)

    def lose(self, number: int, reason: str, *, lives: bool) -> bool:
        """Its process is gone or was told to stop: it is put back, and whether it was.

        With `lives` it counts as one of its lives; after the second it has failed.
        """
        self._open.pop(number)
        trial = next(each for each in self.study.get_trials(deepcopy=False) if each.number == number)
        return self._put_back(trial, reason, lives=lives)

    def _put_back(self, trial: FrozenTrial, reason: str, *, lives: bool) -> bool:
        """First the copy that waits, then the end of this one: killed in between, it is neither lost nor done twice."""
        used = int(trial.user_attrs.get(AGAIN, 0)) + lives
        handle = Trial(self.study, trial._trial_id)
        handle.set_user_attr(REASON, reason)
        again = used < _LIVES
        if again:
            params = trial.params or trial.system_attrs.get("fixed_params", {})
            waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            if params and all(each.system_attrs.get("fixed_params") != params for each in waiting):
                self.study.enqueue_trial(params, user_attrs={AGAIN: used})
            handle.set_user_attr(LOST, True)
        self.study.tell(trial.number, state=TrialState.FAIL)
        return again

    def best(self) -> FrozenTrial | None:
        """The best finished trial of a study with one objective."""
        front = self.front()
        return front[0] if len(self._plan.objectives) == 1 and front else None

    def front(self) -> list[FrozenTrial]:
        """The trials that no other beats in every objective; with one objective the best alone."""
        if not self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            return []
        return [self.study.best_trial] if len(self._plan.objectives) == 1 else self.study.best_trials
