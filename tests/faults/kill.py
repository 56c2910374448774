"""`kill -9` at a chosen state-changing system call of a command; without strace, at a chosen moment."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,"
    "fsync,fdatasync,ftruncate,pwrite64"
)
# How many points of a command are tried; scripts/kill_sweep.sh sets it higher.
POINTS = int(os.environ.get("TIDEMILL_KILL_POINTS", "3"))


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str


def tidemill(*args: str, cwd: Path) -> Done:
    """Run the command to its end."""
    done = subprocess.run([sys.executable, "-m", "tidemill", *args], cwd=cwd, capture_output=True, text=True)
    return Done(done.returncode, done.stdout, done.stderr)


def length(args: tuple[str, ...], cwd: Path) -> float:
    """How long the command is: its state-changing calls (of the process that makes most), or its seconds."""
    if (strace := _strace()) is None:
        began = time.monotonic()
        assert tidemill(*args, cwd=cwd).code == 0
        return time.monotonic() - began
    log = cwd.parent / f"{cwd.name}.strace"
    done = subprocess.run(
        [strace, "-f", "-qq", "-o", str(log), "-e", f"trace={CALLS}", sys.executable, "-m", "tidemill", *args],
        cwd=cwd, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts: dict[str, int] = {}
    for line in log.read_text(errors="replace").splitlines():
        if "(" in line and "resumed>" not in line:
            thread = re.split(r"\s", line, maxsplit=1)[0]
            counts[thread] = counts.get(thread, 0) + 1
    return float(max(counts.values()))


def kill_at(args: tuple[str, ...], cwd: Path, point: float) -> None:
    """Start the command and kill it, with all it started, at `point` (a number of calls, or seconds)."""
    if (strace := _strace()) is None:
        process = _start([sys.executable, "-m", "tidemill", *args], cwd)
        time.sleep(point)
    else:
        inject = f"inject={CALLS}:signal=KILL:when={max(1, round(point))}"
        command = [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}", "-e", inject]
        process = _start([*command, sys.executable, "-m", "tidemill", *args], cwd)
        process.wait(timeout=300)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def points(total: float) -> list[float]:
    """POINTS places spread evenly over a command of that length, its last call among them."""
    return [total * (i + 1) / POINTS for i in range(POINTS)]


def _start(command: list[str], cwd: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _strace() -> str | None:
    """strace, where it is installed and allowed to trace."""
    found = shutil.which("strace")
    if found is None:
        return None
    allowed = subprocess.run([found, "-qq", "-o", "/dev/null", "true"], capture_output=True).returncode == 0
    return found if allowed else None
