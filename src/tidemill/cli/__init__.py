"""The command `tidemill`. One file a command in `tidemill.cli.commands`, found without being imported."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

_COLLECT_AFTER = 50_000  # new objects; with Python's 700, a tenth of the time of imports goes into looking for garbage


def entry() -> NoReturn:
    """The command as a process: `main`, and then the end, without taking apart what the system takes back at once."""
    gc.set_threshold(_COLLECT_AFTER)
    try:
        main()
    except SystemExit as done:
        code = done.code
    _leave(code if isinstance(code, int) else 0 if code is None else 1)


def main() -> NoReturn:
    """The entry point; exits with 0 (done), 1 (the work failed), 2 (the input is wrong) or 130 (interrupted)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it lasts as long as the process
    from tidemill.cli.failure import exit_with
    from tidemill.cli.root import tidemill

    try:
        code = tidemill.main(args=sys.argv[1:], prog_name="tidemill", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)  # a command that raises click's Exit is answered with its code
    except BaseException as error:  # the last frame: every error ends here as one rendered message and one exit code
        exit_with(error)


def _leave(code: int) -> NoReturn:
    """As Python ends, but for its last part: freeing all that a large library made takes longer than some commands."""
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]  # what Python itself calls first: it waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            code = code or 1
        except OSError as error:
            os.write(2, f"error: what was printed is not written: {error.strerror}\n".encode())
            code = code or 1
    os._exit(code)
