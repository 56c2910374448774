"""Who started this server: they hold the other end of its standard input, and when they are gone, it stops."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable


def stop_without_starter(stop: Callable[[], object]) -> None:
    """Call `stop`, from a thread of its own, when standard input ends."""
    threading.Thread(target=_await_end, args=(stop,), daemon=True).start()


def _await_end(stop: Callable[[], object]) -> None:
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the loop has ended already
        while os.read(0, 4096):
            pass
        stop()
