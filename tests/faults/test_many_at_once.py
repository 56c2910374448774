"""Eight first runs at once: none fails. Six promotions at once: one order, one champion."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Copier
from .kill import tidemill

pytestmark = pytest.mark.slow


def _at_once(commands: list[tuple[str, ...]], project: Path) -> list[tuple[int, str]]:
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tidemill", *args], cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        )
        for args in commands
    ]  # fmt: skip
    ended = [(process, process.communicate()[1]) for process in running]
    return [(process.returncode, said) for process, said in ended]


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
