"""Nothing is written outside the project, and nothing phones home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.process import TELEMETRY_OFF


def test_telemetry_is_off_by_default_and_the_user_may_turn_it_on() -> None:
    code = "import os, tidemill; print([os.environ.get(n) for n in " + repr(list(TELEMETRY_OFF)) + "])"
    bare = {name: value for name, value in os.environ.items() if name not in TELEMETRY_OFF}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare).stdout
    assert said.strip() == str(list(TELEMETRY_OFF.values()))
    chosen = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare | {"DO_NOT_TRACK": "false"}
    ).stdout
    assert "'false'" in chosen


@pytest.mark.slow
def test_a_home_stays_empty(tmp_path: Path) -> None:
    home, work, temporary = tmp_path / "home", tmp_path / "work", tmp_path / "temporary"
    for folder in (home, work, temporary):
        folder.mkdir()
    environment = {"HOME": str(home), "TMPDIR": str(temporary), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "2"}
    steps = [
        (work, "init", "digits", "--task", "image"),
        (work / "digits", "train", "trainer.max_epochs=1"),
        (work / "digits", "models", "promote", "digits", "1"),
        (work / "digits", "predict", "digits@champion", "examples/seven.png"),
        (work / "digits", "evaluate", "digits@champion"),
        (work / "digits", "data", "list"),
    ]
    for cwd, *args in steps:
        done = subprocess.run(
            [sys.executable, "-m", "tidemill", *args], cwd=cwd, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{args}: {done.stderr}"
    assert not [path for path in home.rglob("*") if path.is_file()]
    assert not [path for path in temporary.rglob("*") if path.is_file()]
    assert {path.name for path in work.iterdir()} == {"digits"}
