"""Starts a script as the shell would, waits for it, and lets signals reach it as if nothing stood between."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from tidemill.errors import InputError
from tidemill.stages.capture.streams import Stream
from tidemill.stages.capture.witness import Witness

_PASSED = {
    signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP,
    signal.SIGCONT, signal.SIGWINCH, signal.SIGALRM,
}  # fmt: skip
_ASKING = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM}
_FROM_KERNEL = 128  # si_code: the terminal sends to the whole group, so that the script has it already


@dataclass(frozen=True, slots=True)
class Ended:
    """How a script ended: `code` as the shell shows it (128 + signal), `seconds` its wall time, `cpu` of its tree."""

    code: int
    signal: int | None
    seconds: float
    cpu: float
    memory_mb: float


class Child:
    """A running script. Make it before any thread is started: it is forked."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], streams: Sequence[Stream]) -> None:
        self._streams = streams
        signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED)
        failed, tell = os.pipe()
        held, let_go = os.pipe()
        self._started = time.monotonic()
        self._witness = Witness()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(let_go)
            _become(command, environment, streams, held, tell)
        os.close(tell)
        os.close(held)
        self._catch_up()
        with contextlib.suppress(BrokenPipeError):  # killed already, which `wait` tells
            os.write(let_go, b"x")
        os.close(let_go)
        with os.fdopen(failed, "rb") as pipe:
            number = pipe.read()  # empty once the script runs
        if number:
            os.waitpid(self.pid, 0)
            self._witness.close()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED)
            program = command[0] or "''"
            raise InputError(f"{program}: {os.strerror(int(number))}", "check the command after --")
        self._passing = threading.Thread(target=self._pass_signals, name="signals", daemon=True)
        self._passing.start()

    def wait(self) -> Ended:
        """Until the script itself is done; its children may go on. From then on signals are for this process."""
        _, status, used = os.wait4(self.pid, 0)
        seconds = time.monotonic() - self._started
        self.pid = 0
        self._stop_passing()
        died_of = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = 128 + died_of if died_of else os.WEXITSTATUS(status)
        return Ended(code, died_of, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)

    def _stop_passing(self) -> None:
        """What came at the end was the script's; those that asked it for something mean nothing to this process."""
        signal.pthread_kill(self._passing.ident or 0, signal.SIGWINCH)
        self._passing.join()
        self._witness.close()
        while signal.sigtimedwait(_PASSED, 0):
            pass
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED - _ASKING)

    def _catch_up(self) -> None:
        """Signals that came while the processes were forked: whoever sent them meant the script.

        It is held yet and takes none, so that one which it got by its group and from here is one.
        """
        pending = True
        while pending:
            self._witness.forget(_PASSED)
            pending = False
            while info := signal.sigtimedwait(_PASSED, 0):
                pending = True
                os.kill(self.pid, info.si_signo)

    def _pass_signals(self) -> None:
        while self.pid:
            info = signal.sigwaitinfo(_PASSED)
            pid = self.pid  # once it is 0 there is nobody to tell, and 0 would mean the whole group
            if not pid:
                return
            number = signal.Signals(info.si_signo)
            if number is signal.SIGWINCH:
                for stream in self._streams:
                    stream.follow_size()
            if not self._witness.saw(number) and info.si_code < _FROM_KERNEL and info.si_pid != pid and self.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if number is signal.SIGTSTP:
                os.kill(os.getpid(), signal.SIGSTOP)


def _become(
    command: Sequence[str], environment: Mapping[str, str], streams: Sequence[Stream], held: int, tell: int
) -> NoReturn:
    """In the forked process: the script's descriptors, its signals as they were, and the program."""
    try:
        if not os.read(held, 1):  # who started this is gone
            os._exit(127)
        for stream in streams:
            for target in stream.targets:
                os.dup2(stream.inner, target)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # Python ignores these
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED)
        os.execvpe(command[0], list(command), dict(environment))  # noqa: S606 - no shell is meant
    except (OSError, ValueError) as error:  # the empty word is a ValueError
        os.write(tell, str(getattr(error, "errno", 0) or errno.ENOENT).encode())
    finally:
        os._exit(127)


def die_of(number: int) -> NoReturn:
    """End this process by the signal that ended the script, for whoever started it to see; no second core is dumped."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)
