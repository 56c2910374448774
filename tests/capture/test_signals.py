"""A signal for the whole process group reaches the script once, as one for Tidemill alone does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.capture.conftest import TIDEMILL, Folder

COUNTS = """
import os, signal, sys, time
n = {}
def got(number, frame):
    n[number] = n.get(number, 0) + 1
    os.write(1, b'%d %d\\n' % (number, n[number]))
for number in (1, 2, 10, 15): signal.signal(number, got)
print('ready', os.getpid(), flush=True)
while 10 not in n: time.sleep(0.01)
time.sleep(0.2)
print('in all', *(n.get(each, 0) for each in (1, 2, 10, 15)))
"""


@contextmanager
def started(folder: Folder) -> Iterator[subprocess.Popen[bytes]]:
    """Tidemill in a group of its own without a terminal, with a script that says and counts its signals until USR1."""
    folder.write("counts.py", COUNTS)
    with subprocess.Popen(
        (*TIDEMILL, "run", "--", sys.executable, "counts.py"), cwd=folder.path, env=folder.environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        yield process


@contextmanager
def counting(folder: Folder) -> Iterator[subprocess.Popen[bytes]]:
    """As `started`, once the script is ready; nothing of it is left behind."""
    with started(folder) as process:
        try:
            assert said(process).startswith("ready ")
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def said(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def test_twenty_signals_to_the_group_are_twenty(folder: Folder) -> None:
    with counting(folder) as process:
        for turn in range(1, 21):
            for number in (signal.SIGINT, signal.SIGTERM):
                os.killpg(process.pid, number)
                assert said(process) == f"{int(number)} {turn}"
        os.killpg(process.pid, signal.SIGUSR1)
        assert [said(process), said(process)] == ["10 1", "in all 0 20 1 20"]
        assert process.wait(timeout=60) == 0


def test_signals_to_tidemill_alone_and_to_the_group_in_turn(folder: Folder) -> None:
    with counting(folder) as process:
        for turn in range(1, 21):
            process.send_signal(signal.SIGINT)
            assert said(process) == f"2 {2 * turn - 1}"
            os.killpg(process.pid, signal.SIGINT)
            assert said(process) == f"2 {2 * turn}"
            process.send_signal(signal.SIGHUP)
            assert said(process) == f"1 {turn}"
            time.sleep(0.02)  # a signal that comes while another of its kind is looked at is the same
        process.send_signal(signal.SIGUSR1)
        assert [said(process), said(process)] == ["10 1", "in all 20 40 1 0"]
        assert process.wait(timeout=60) == 0


def test_two_in_a_row_to_tidemill_alone_are_two(folder: Folder) -> None:
    with counting(folder) as process:
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        process.send_signal(signal.SIGUSR1)
        assert [said(process) for _ in range(4)] == ["15 1", "15 2", "10 1", "in all 0 0 1 2"]


def witness(process: subprocess.Popen[bytes], script: int) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (found,) = {int(each) for each in children} - {script}
    return found


def test_a_stopped_group_of_which_tidemill_is_continued(folder: Folder) -> None:
    with counting(folder) as process:
        os.killpg(process.pid, signal.SIGSTOP)
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        assert said(process) == "15 1"
        os.killpg(process.pid, signal.SIGUSR1)
        assert [said(process), said(process)] == ["10 1", "in all 0 0 1 1"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_nothing_is_left_when_tidemill_ends(folder: Folder, number: signal.Signals) -> None:
    with started(folder) as process:
        script = int(said(process).split()[1])
        beside = witness(process, script)
        process.send_signal(number)
        process.wait(timeout=60)
        until = time.monotonic() + 10
        while Path(f"/proc/{beside}").exists() and time.monotonic() < until:
            time.sleep(0.02)
        assert not Path(f"/proc/{beside}").exists()
        if number is signal.SIGKILL:
            os.kill(script, signal.SIGUSR1)
            return
    assert folder.show()["captured"]["processes"] == [f"{sys.executable} counts.py"]


def test_a_witness_that_was_killed_leaves_signals_to_pass(folder: Folder) -> None:
    with started(folder) as process:
        script = int(said(process).split()[1])
        os.kill(witness(process, script), signal.SIGKILL)
        for number in (signal.SIGTERM, signal.SIGUSR1):
            process.send_signal(number)
        assert {said(process), said(process)} == {"15 1", "10 1"}
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("moment", [number / 100 for number in range(8, 48, 2)])
def test_a_signal_while_it_starts_is_never_two(folder: Folder, moment: float) -> None:
    command = (*TIDEMILL, "run", "--", "sh", "-c", "trap 'echo got' TERM; echo ready; sleep 0.5; sleep 0.1")
    with subprocess.Popen(
        command, cwd=folder.path, env=folder.environment, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        time.sleep(moment)
        os.killpg(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) in [(-15, b""), (-15, b"ready\n"), (0, b"ready\ngot\n")]


def test_timeout_ends_a_script_with_one_signal(folder: Folder) -> None:
    folder.write("a.py", "import signal, time\nn = []\nsignal.signal(15, lambda *a: n.append(1))\n"
                         "end = time.time() + 30\n"
                         "while not n and time.time() < end: time.sleep(0.02)\n"
                         "time.sleep(0.3)\nprint(len(n))")  # fmt: skip
    done = folder.bare("timeout", "4", *TIDEMILL, "run", "--", sys.executable, "a.py")
    assert (done.returncode, done.stdout) == (124, b"1\n")
