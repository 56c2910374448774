"""Has spools sealed that nobody appends to any more: here, or by a process that gives way to others.

Needs no Arrow itself. Where it is not installed nothing is sealed: spools stay as they are, and count, until somebody
who has it comes by.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from tidemill.errors import StorageError
from tidemill.journal.spool import abandoned
from tidemill.journal.tails import spools
from tidemill.process import import_path

_MUCH = 1 << 20  # bytes that are not sealed in this process


def can_seal() -> bool:
    """Whether what makes Parquet is installed."""
    try:
        return find_spec("pyarrow") is not None
    except ImportError:
        return False


def seal_apart(root: Path, spool: Path, give_up: Callable[[], bool] = lambda: False) -> None:
    """As `seal.seal`, in a process of its own, which is ended when `give_up` says so. Raises StorageError."""
    command = [sys.executable, "-P", "-m", "tidemill.journal.seal", str(root), str(spool)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # others would start, spin, and do nothing
    environment = os.environ | one | {"PYTHONPATH": import_path()}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    ) as process:
        while True:
            try:
                said = process.communicate(timeout=0.2)[1]
                break
            except subprocess.TimeoutExpired:
                if give_up():
                    process.kill()
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines() or ["it was ended"]
        raise StorageError(f"the spool {spool.name} could not be sealed: {lines[-1][:200]}", "it is tried again")


def seal_abandoned(root: Path) -> int:
    """Seal every spool that is left; returns how many. One that cannot be sealed is left for the next time."""
    return sum(error is None for _, error in sweep(root)) if can_seal() else 0


def sweep(
    root: Path, *, but: Collection[Path] = (), give_up: Callable[[], bool] = lambda: False
) -> Iterator[tuple[Path, Exception | None]]:
    """Seal one spool after the other, the oldest first, but those in `but`: which it was, and why it was not done."""
    for path in spools(root):
        if path in but:
            continue
        with abandoned(path) as free:
            if not free:
                continue
            failure: Exception | None = None
            try:
                _seal(root, path, give_up)
            except Exception as error:  # whatever is wrong with one, the others go on
                failure = error
            yield path, failure


def left(root: Path) -> int:
    """Bytes in spools, those too that are written to."""
    size = 0
    for path in spools(root):
        with suppress(OSError):
            size += path.stat().st_size
    return size


def _seal(root: Path, path: Path, give_up: Callable[[], bool]) -> None:
    """Here only what is small, and where Arrow is loaded already: a server has neither the time nor the memory."""
    if "pyarrow.parquet" in sys.modules and path.stat().st_size <= _MUCH:
        from tidemill.journal.seal import seal

        seal(root, path)
    else:
        seal_apart(root, path, give_up)
