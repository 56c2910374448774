"""Changes of version, restarts and `kill -9` under load, a few times; `python -m tests.faults --long` does more."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import trials

pytestmark = pytest.mark.slow


def test_versions_change_under_load_and_memory_stays(tmp_path: Path) -> None:
    trial = trials.swaps(tmp_path, 30)
    assert trial.failures == [], trial.notes
    assert trial.requests > 300


def test_workers_restart_under_load_and_no_request_is_dropped(tmp_path: Path) -> None:
    trial = trials.restarts_of_workers(tmp_path, 4)
    assert trial.failures == []


def test_servers_restart_under_load_and_no_request_is_dropped(tmp_path: Path) -> None:
    trial = trials.restarts(tmp_path, 3)
    assert trial.failures == []


def test_kill_9_at_random_moments_under_load_loses_no_answer(tmp_path: Path) -> None:
    trial = trials.kills(tmp_path, 20)
    assert trial.failures == []
