"""Whatever happens to the page's process, nothing of what it started stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

LEASH = [sys.executable, "-m", "tidemill.web.leash"]
FAMILY = """
import pathlib, subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
child.stdout.readline()
path = pathlib.Path(sys.argv[1])
path.with_suffix(".tmp").write_text(str(child.pid))
path.with_suffix(".tmp").rename(path)
time.sleep(600)
"""
STARTER = """
import subprocess, sys, time
command = [sys.executable, "-m", "tidemill.web.leash", sys.executable, "-c", *sys.argv[1:]]
subprocess.Popen(command, stdin=subprocess.PIPE)
time.sleep(600)
"""


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_starter_that_is_killed_takes_all_with_it(tmp_path: Path) -> None:
    written = tmp_path / "pid"
    starter = subprocess.Popen([sys.executable, "-c", STARTER, FAMILY, str(written)])
    try:
        assert until(written.exists)
        grandchild = int(written.read_text())
        assert lives(grandchild)
    finally:
        os.kill(starter.pid, signal.SIGKILL)
        starter.wait()
    try:
        assert until(lambda: not lives(grandchild)), "it ignores SIGTERM, so it must have been killed"
    finally:
        if lives(grandchild):
            os.kill(grandchild, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_leash_passes_an_end_on(number: signal.Signals) -> None:
    leash = subprocess.Popen([*LEASH, sys.executable, "-c", "print('up', flush=True); import time; time.sleep(600)"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    with leash:
        assert leash.stdout is not None
        assert leash.stdout.readline() == b"up\n"
        leash.send_signal(number)
        assert leash.wait(20) == 128 + signal.SIGTERM


def test_the_exit_code_is_the_commands() -> None:
    with subprocess.Popen([*LEASH, sys.executable, "-c", "raise SystemExit(7)"], stdin=subprocess.PIPE) as leash:
        assert leash.wait(20) == 7
