"""Processes that share requests: all are answered, and a process that dies is heard of."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tidemill.dataset import workers
from tidemill.dataset.picture_files import PROGRAM
from tidemill.dataset.workers import Workers
from tidemill.errors import StorageError

NOTHING = {"files": [], "keep": False}


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "usable_cores", lambda: 2)


def test_more_requests_than_a_pipe_takes_are_answered_once_each() -> None:
    heard: list[int] = []
    with Workers(PROGRAM) as shared:
        work = shared.begin()
        for _ in range(6_000):
            work.add(NOTHING)
        answers = work.answers(heard.append)
    assert len(answers) == 6_000 and sorted(heard) == list(range(6_000))


def test_a_killed_worker_is_an_error_and_the_others_end() -> None:
    with pytest.raises(StorageError, match="was killed"), Workers(PROGRAM) as shared:
        work = shared.begin()
        work.add(NOTHING)
        until = time.monotonic() + 60
        while len(found := _processes()) < 2:
            assert time.monotonic() < until, "the first worker has forked no other"
        for process in found[1:]:
            os.kill(process, signal.SIGKILL)
        for _ in range(50_000):
            work.add(NOTHING)
        work.answers()
    assert not any(_runs(process) for process in found)


def _processes() -> list[int]:
    """The workers that this process has started, the first and those that it forked."""
    listed = subprocess.run(["ps", "-ewwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines() if PROGRAM in line]
    first = [int(pid) for pid, parent, _ in rows if int(parent) == os.getpid()]
    return first + [int(pid) for pid, parent, _ in rows if int(parent) in first]


def _runs(process: int) -> bool:
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())  # of one that ended it is empty
    except OSError:
        return False
