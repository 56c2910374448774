"""Room for what takes much memory: whoever needs more than is left waits for the others."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """`size` units for all threads together. One that asks for more than that is let in alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._empty()
        if hasattr(os, "register_at_fork"):  # the threads that hold it are not in the child
            os.register_at_fork(after_in_child=self._empty)

    def _empty(self) -> None:
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, units: int) -> Iterator[None]:
        """Wait for `units`, and give them back at the end."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + units <= self._size)
            self._taken += units
        try:
            yield
        finally:
            with self._changed:
                self._taken -= units
                self._changed.notify_all()
