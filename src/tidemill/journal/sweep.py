"""Has spools sealed that nobody appends to any more: here, or by a process that gives way to others.

Needs no Arrow itself. Where it is not installed nothing is sealed: spools stay as they are, and count, until somebody
who has it comes by.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from tidemill.errors import StorageError
from tidemill.journal.spool import SUFFIX, abandoned

_MUCH = 1 << 20  # bytes that are not sealed in this process


def can_seal() -> bool:
    """Whether what makes Parquet is installed."""
    try:
        return find_spec("pyarrow") is not None
    except ImportError:
        return False


def seal_apart(root: Path, spool: Path) -> None:
    """As `seal.seal`, in a process of its own. Raises StorageError."""
    command = [sys.executable, "-P", "-m", "tidemill.journal.seal", str(root), str(spool)]
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )  # others would start, spin, and do nothing
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=os.environ | threads)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it was killed"]
        raise StorageError(f"the spool {spool.name} could not be sealed: {said[-1]}", "it is tried again")


def seal_abandoned(root: Path) -> int:
    """Seal every spool that is left; returns how many. One that cannot be sealed is left for the next time."""
    return sum(sealed for _, sealed in sweep(root)) if can_seal() else 0


def sweep(root: Path, *, but: Collection[Path] = ()) -> Iterator[tuple[Path, bool]]:
    """Seal one spool after the other, the oldest first, but those in `but`: which it was, and whether that was done."""
    for path in _spools(root):
        if path in but:
            continue
        with abandoned(path) as free:
            if not free:
                continue
            sealed = False
            with suppress(Exception):  # whatever is wrong with one, the others go on
                _seal(root, path)
                sealed = True
            yield path, sealed


def left(root: Path) -> int:
    """Bytes in spools, those too that are written to."""
    size = 0
    for path in _spools(root):
        with suppress(OSError):
            size += path.stat().st_size
    return size


def _spools(root: Path) -> list[Path]:
    return sorted((root / "spool").glob(f"*{SUFFIX}"))


def _seal(root: Path, path: Path) -> None:
    """Here only what is small, and where Arrow is loaded already: a server has neither the time nor the memory."""
    if "pyarrow.parquet" in sys.modules and path.stat().st_size <= _MUCH:
        from tidemill.journal.seal import seal

        seal(root, path)
    else:
        seal_apart(root, path)
