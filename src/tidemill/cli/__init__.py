"""The command `tidemill`. One file a command in `tidemill.cli.commands`, found without being imported."""

from __future__ import annotations

import os
import sys


def main() -> None:
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
