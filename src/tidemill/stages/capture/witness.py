"""Tells a signal that was sent to the whole process group from one that was sent to this process alone.

Both look the same to who gets them. A process of ours in the same group, which does nothing, is asked whether it got
the signal, too: if so the script has it already, and it must not be passed on.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from pathlib import Path
from typing import NoReturn

_GRACE = 0.005  # seconds: `timeout` signals its child and then the group; systemd one process after the other
_LOOK = 100  # milliseconds between two looks whether the witness was stopped


class Witness:
    """Fork it before any thread is started, with all signals that are asked for blocked."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            _answer(theirs.fileno())
        theirs.close()

    def saw(self, number: int, *, grace: float = _GRACE) -> bool:
        """Whether the group got the signal, since this was last asked. False also when the witness is gone."""
        with contextlib.suppress(OSError):
            # A signal to a group is given to all its members under a lock of the kernel that this call takes, too: once
            # it returns, who gets the signal has it. It changes nothing.
            os.setpgid(0, os.getpgrp())
        seen = self._ask(number, grace)
        while seen and signal.sigtimedwait({number}, 0):  # came before the witness was asked, and was seen as one
            self._ask(number, 0)
        return seen

    def forget(self, numbers: set[signal.Signals]) -> None:
        """What the group got until now counts no more."""
        for number in numbers:
            self._ask(number, 0)

    def close(self) -> None:
        """End it."""
        self._ours.close()
        with contextlib.suppress(OSError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def _ask(self, number: int, grace: float) -> bool:
        try:
            self._ours.send(bytes((number, int(grace * 1000))))
            poll = select.poll()
            poll.register(self._ours, select.POLLIN)
            roused = False
            while not poll.poll(_LOOK):
                if self._stopped():  # with the group, of which this process alone was told to go on
                    os.kill(self._pid, signal.SIGCONT)
                    roused = True
            seen = self._ours.recv(1) == b"y"
            if roused and number != signal.SIGCONT:
                self._ask(signal.SIGCONT, 0)  # that one was ours
            return seen and not (roused and number == signal.SIGCONT)
        except OSError:
            return False

    def _stopped(self) -> bool:
        return Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _answer(handle: int) -> NoReturn:
    """In the witness. It ends when who asks has ended, and holds nothing open: no output, no pipe of the script."""
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        os.closerange(0, handle)
        os.closerange(handle + 1, os.sysconf("SC_OPEN_MAX"))
        while asked := os.read(handle, 2):
            os.write(handle, b"y" if signal.sigtimedwait({asked[0]}, asked[1] / 1000) else b"n")
    finally:
        os._exit(0)
