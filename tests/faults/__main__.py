"""The faults of the server in their long form, and what came of each.

    python -m tests.faults --long                                  # 1,000 changes of version, 100 restarts, 20 kills
    python -m tests.faults --swaps 50 --restarts 10 --kills 5      # as many of each as is said

Clients are a process of their own: 8 connections that are kept, and ask without a pause. Every answer is held against
its version's own and against the prediction log. Ends with 1 where one request failed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")

from . import trials  # behind the setting, which NumPy reads when it is imported

_WHOLE = 5  # restarts of workers for one of a whole server


def main() -> None:
    """Do what is asked for, and say what came of it."""
    given = _arguments()
    print(f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="tidemill-faults-") as name:
        failed = [_try(partial(trial, Path(name)), times) for trial, times in given if times]
    sys.exit(1 if any(failed) else 0)


def _arguments() -> list[tuple[Callable[..., trials.Trial], int]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="--swaps 1000 --restarts 100 --kills 20")
    parser.add_argument("--swaps", type=int, metavar="N")
    parser.add_argument("--restarts", type=int, metavar="N", help=f"of workers; of whole servers 1 in {_WHOLE} of it")
    parser.add_argument("--kills", type=int, metavar="N")
    given = parser.parse_args()
    if not given.long and given.swaps is given.restarts is given.kills is None:
        parser.error("say --long, or how many")

    def times(name: str, long: int) -> int:
        asked: int | None = getattr(given, name)
        return asked if asked is not None else long if given.long else 0

    restarts = times("restarts", 100)
    return [
        (trials.swaps, times("swaps", 1000)),
        (trials.restarts_of_workers, restarts),
        (trials.restarts, -(-restarts // _WHOLE)),
        (trials.kills, times("kills", 20)),
    ]


def _try(trial: Callable[..., trials.Trial], times: int) -> bool:
    """Whether it failed."""
    began = time.monotonic()
    found = trial(times, _progress if sys.stderr.isatty() else lambda done: None)
    seconds = time.monotonic() - began
    verdict = "failed" if found.failures else "ok"
    print(
        f"{found.name:<40} {found.times:>6,} times {found.requests:>10,} answers {seconds:>6.0f} s  {verdict}",
        flush=True,
    )
    for line in [*found.notes, *found.failures]:
        print(f"    {line}", flush=True)
    return bool(found.failures)


def _progress(done: int) -> None:
    print(f"\r  {done:,}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
