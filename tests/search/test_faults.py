"""Fault 18: a worker of a search killed, and the whole search killed: it goes on, and no trial is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tidemill.project.layout import Layout
from tidemill.project.searching.tune import tune
from tidemill.stages.search.loop import Ended, Training

SLOW = ["model.params.trees=1500", "model.params.patience=0", "model.params.depth=range(6,12)", "search.pruner=none",
        "search.register=false", "search.sampler=random"]  # fmt: skip


@dataclass
class Killer:
    """A watcher that kills the workers that train the chosen trials, as soon as these report."""

    chosen: Callable[[Training], bool]
    killed: list[int] = field(default_factory=list)
    ends: list[Ended] = field(default_factory=list)

    def began(self, training: Training) -> None: ...

    def measured(self, training: Training, metrics: Any, step: int) -> None:
        if self.chosen(training) and training.number not in self.killed:
            self.killed.append(training.number)
            for child in psutil.Process().children():
                if "tidemill.project.searching.worker" in child.cmdline():
                    child.kill()

    def ended(self, ended: Ended) -> None:
        self.ends.append(ended)


def test_a_killed_worker_costs_no_trial(project: Layout) -> None:
    killer = Killer(lambda training: training.number == 1)
    tuned = tune(project, [*SLOW, "search.trials=3"], watch=lambda _: killer)
    assert [each.state for each in killer.ends].count("lost") == 1
    states = [each.state for each in tuned.found.trials]
    assert (states.count("complete"), states.count("lost")) == (3, 1)
    lost, again = tuned.found.trials[1], tuned.found.trials[2]
    assert "SIGKILL" in lost.reason
    assert again.settings == lost.settings


@pytest.mark.slow
def test_a_trial_that_always_kills_its_worker_is_recorded_as_failed(project: Layout) -> None:
    deadly: dict[str, Any] = {}

    def chosen(training: Training) -> bool:
        if training.number == 1:
            deadly.update(training.values)
        return bool(deadly) and dict(training.values) == deadly

    tuned = tune(project, [*SLOW, "model.params.learning_rate=interval(0.1,0.2)", "search.trials=3"],
                 watch=lambda _: Killer(chosen))  # fmt: skip
    states = [each.state for each in tuned.found.trials]
    assert (states.count("complete"), states.count("lost"), states.count("failed")) == (2, 1, 1)


@contextmanager
def searching(project: Layout, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tidemill", "tune", *arguments]
    log = (project.root.parent / "log").open("wb")
    process = subprocess.Popen(command, cwd=project.root, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def wait_for_lines(project: Layout, number: int) -> None:
    deadline = time.monotonic() + 120
    while (project.root.parent / "log").read_bytes().count(b"\n") <= number:
        assert time.monotonic() < deadline, (project.root.parent / "log").read_text()
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_search_goes_on_where_it_was(project: Layout) -> None:
    with searching(project, *SLOW, "search.trials=6", "search.workers=2") as process:
        wait_for_lines(project, 2)
        workers = psutil.Process(process.pid).children()
        process.kill()
        process.wait()
        gone, alive = psutil.wait_procs(workers, timeout=20)
        assert gone
        assert not alive
    tuned = tune(project, [*SLOW, "search.trials=6", "search.workers=2"])
    states = [each.state for each in tuned.found.trials]
    assert states.count("complete") == 6
    assert 1 <= states.count("lost") <= 2
    assert {"running", "waiting", "failed"}.isdisjoint(states)
    settings = [tuple(each.settings.items()) for each in tuned.found.trials if each.state == "complete"]
    lost = [tuple(each.settings.items()) for each in tuned.found.trials if each.state == "lost"]
    assert set(lost) <= set(settings)


@pytest.mark.slow
def test_ctrl_c_ends_it_in_order(project: Layout) -> None:
    with searching(project, *SLOW, "search.trials=20") as process:
        wait_for_lines(project, 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    tuned = tune(project, [*SLOW, "search.trials=3"])
    states = [each.state for each in tuned.found.trials]
    assert states.count("complete") == 3
    assert states.count("lost") <= 1
    assert Path(tuned.found.page).is_file()


@pytest.mark.slow
def test_two_searches_of_one_study_do_not_mix(project: Layout) -> None:
    from tidemill.errors import BusyError

    with searching(project, *SLOW, "search.trials=20"):
        wait_for_lines(project, 1)
        with pytest.raises(BusyError, match="another command is working on the study"):
            tune(project, [*SLOW, "search.trials=20"])
