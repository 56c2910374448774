"""Whether a request finds room behind those that wait, and when to come again where it does not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tidemill.errors import BusyError
from tidemill.serve.pace import Pace, Seconds

if TYPE_CHECKING:
    from tidemill.serve.job import Given
    from tidemill.serve.metrics import ModelMeters

BATCH_ROWS = 32  # a batch is closed when it has so many
WAITING_ROWS = 4096  # beyond so many the server is busy
DEADLINE = 10.0  # seconds: who would wait longer is refused at once
LONGEST = 30  # seconds: nobody is told to stay away for longer


class Room(Pace):
    """A model's pace with a queue before it: `waiting` rows wait already; `threads` compute, or the event loop does."""

    def __init__(self, seconds: Seconds, series: ModelMeters) -> None:
        super().__init__(seconds)
        self._series = series

    def check(self, waiting: int, given: Given, threads: int) -> None:
        """Raises BusyError for a request that would wait too long, which is counted."""
        wait = (self._start + self._row * waiting) * self._drift  # `expected`, without a call on every request's way
        limit = min(given.timeout, DEADLINE) if given.timeout else DEADLINE
        if waiting + given.rows > WAITING_ROWS:
            reason, headline = "queue_full", f"{waiting} inputs are waiting already"
        elif wait > limit:
            reason = "timeout" if limit < DEADLINE else "too_slow"
            headline = f"an answer would take longer than {limit:g} s"
        else:
            return
        self._series.failures[reason] += 1
        raise self.refusal(waiting, headline, threads)

    def refusal(self, waiting: int, headline: str, threads: int) -> BusyError:
        """It says when what waits now will have been computed."""
        seconds = self.clears(waiting, BATCH_ROWS, max(1, threads))
        wait = min(LONGEST, max(1, math.ceil(seconds)))
        error = BusyError(headline, f"try again in {wait} s")
        error.retry_after = wait
        return error
