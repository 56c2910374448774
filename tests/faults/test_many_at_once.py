"""Eight first runs at once: none fails. Six promotions at once: one order, one champion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tidemill.files import locked
from tidemill.project.layout import Layout

from .conftest import Copier
from .kill import tidemill

pytestmark = pytest.mark.slow


def _start(commands: list[tuple[str, ...]], project: Path) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tidemill", *args], cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        )
        for args in commands
    ]  # fmt: skip


def _at_once(commands: list[tuple[str, ...]], project: Path) -> list[tuple[int, str]]:
    return _ended(_start(commands, project))


def _ended(running: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    ended = [(process, process.communicate()[1]) for process in running]
    return [(process.returncode, said) for process, said in ended]


def _holds_open(pid: int, path: Path) -> bool:
    """Whether a process waits for this lock."""
    with suppress(OSError):
        return any(os.path.samefile(each, path) for each in Path(f"/proc/{pid}/fd").iterdir() if each.exists())
    return False


def test_eight_first_runs(fresh: Copier) -> None:
    project = fresh("project")
    ended = _at_once([("train", "model=linear", f"seed={seed}") for seed in range(8)], project)
    assert [code for code, _ in ended] == [0] * 8, [said for code, said in ended if code]
    versions = json.loads(tidemill("models", "list", "--json", cwd=project).out)
    assert sorted(version["version"] for version in versions) == list(range(1, 9))
    assert tidemill("models", "verify", cwd=project).code == 0


def test_promotions_at_once_have_one_order(trained: Copier) -> None:
    project = trained("project")
    ended = _at_once([("models", "promote", "cancer", "2", "--force", f"number {i}") for i in range(6)], project)
    assert sorted(code for code, _ in ended) == [0, 2, 2, 2, 2, 2], [said for _, said in ended]
    history = json.loads(tidemill("models", "history", "cancer", "--json", cwd=project).out)
    assert [line["payload"]["version"] for line in history if line["kind"] == "promoted"] == [1, 2]
    assert tidemill("models", "verify", cwd=project).code == 0


def test_of_two_versions_promoted_at_once_one_wins_and_the_other_is_told(trained: Copier) -> None:
    project = trained("project")
    assert tidemill("train", "model=linear", "seed=7", cwd=project).code == 0
    lock = Layout(project).locks / "promote-cancer"
    with locked(lock, timeout=60, what="the test"):
        running = _start([("models", "promote", "cancer", each, "--force", "mine") for each in ("2", "3")], project)
        while not all(_holds_open(process.pid, lock) for process in running):
            assert not any(process.poll() for process in running)
            time.sleep(0.05)
    ended = _ended(running)
    assert sorted(code for code, _ in ended)[0] == 0
    [said] = [said for code, said in ended if code]
    assert "another champion of cancer came meanwhile: cancer/" in said
    history = json.loads(tidemill("models", "history", "cancer", "--json", cwd=project).out)
    assert len([line for line in history if line["kind"] == "promoted"]) == 2
