"""Runs a command that must not outlive whoever started this: `python -m tidemill.web.leash COMMAND …`.

Standard input is a pipe whose other end only the starter holds. When it closes, by intent or because the starter died
in whatever way, the command and everything that it started are ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

GRACE = 3.0  # seconds between asking and killing


def main(command: list[str]) -> int:
    """Run `command` in a session of its own until it or standard input ends; its exit code, 128 + N for signal N."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: end(child))
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    code = child.wait()
    _signal_group(child, signal.SIGKILL)  # what it may have left behind
    return code if code >= 0 else 128 - code


def _watch(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, and kill what has not after three seconds."""
    _signal_group(child, signal.SIGTERM)
    timer = threading.Timer(GRACE, _signal_group, (child, signal.SIGKILL))
    timer.daemon = True
    timer.start()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
