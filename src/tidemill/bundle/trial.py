"""The process that `tidemill.bundle.prove` starts: try a folder under limits, and say what came of it.

For bundles, `ready` says how: load it, and replay its golden requests.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.errors import BundleError, GateError, MissingExtraError, TidemillError, first_line

if TYPE_CHECKING:
    from tidemill.ports import Runtime

Attempt = Callable[[Path, str], None]
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_FILES = 64


def main() -> None:
    """The one argument is a `prove.Trial` as JSON; the answer, one line of JSON, goes to standard output."""
    answers = os.dup(1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # libraries that print must not be taken for the answer
    os.close(silence)
    _die_first()
    trial = json.loads(sys.argv[1])
    module, name = trial["ready"]
    attempt: Attempt = getattr(importlib.import_module(module), name)(*trial["arguments"])
    memory = _limit(trial)
    try:
        attempt(Path(trial["directory"]), trial["digest"])
        answer = {"proven": trial["digest"]}
    except (BundleError, GateError, MissingExtraError) as error:
        answer = _told(error)
    except TidemillError as error:  # the graph failed on the golden requests
        answer = _told(_refused(trial, error.headline))
    except MemoryError:
        answer = _told(_refused(trial, f"it needs more than {memory >> 20:,} MB of memory"))
    except Exception as error:  # whatever a library makes of it: it is the bundle that caused it
        answer = _told(_refused(trial, first_line(error)))
    os.write(answers, json.dumps(answer).encode())
    os._exit(0)  # what a library might still do at its end no longer matters


def _die_first() -> None:
    """Not outlive the parent; and where memory is short, be the one that the system chooses."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it went before we asked
            os._exit(1)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def ready(module: str, name: str) -> Attempt:
    """For bundles, with the runtime of this class."""
    runtime: Runtime = getattr(importlib.import_module(module), name)()
    _import_readers()
    return partial(_try_bundle, runtime=runtime)


def _import_readers() -> None:
    """Before the limits, so that these do not depend on the libraries' own size. Not all are installed everywhere."""
    import numpy  # noqa: F401 - as said above

    for name in ("PIL.Image", "pyarrow.parquet", "tokenizers", "tidemill.bundle.reference"):
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)


def _limit(trial: dict[str, Any]) -> int:
    """Set the limits for this process; returns the bytes of memory that it may still take."""
    limits = trial["limits"]
    files = sum(entry.stat().st_size for entry in _files(Path(trial["directory"])))
    memory = int(limits["memory"] + limits["per_byte"] * files)
    for kind, most in (
        (resource.RLIMIT_AS, _address_space() + memory),
        (resource.RLIMIT_CPU, int(limits["seconds"]) + 1),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _FILES),
    ):
        hard = resource.getrlimit(kind)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(OSError, ValueError):  # a system that knows no such limit still has that of time
            resource.setrlimit(kind, (allowed, allowed))
    return memory


def _files(directory: Path) -> list[os.DirEntry[str]]:
    try:
        return [entry for entry in os.scandir(directory) if entry.is_file(follow_symlinks=False)]
    except OSError:
        return []


def _address_space() -> int:
    """Bytes of address space that this process has now."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30


def _try_bundle(directory: Path, digest: str, *, runtime: Runtime) -> None:
    from tidemill.bundle.examples import read_examples
    from tidemill.bundle.golden import replay
    from tidemill.bundle.read import open_bundle
    from tidemill.bundle.reference import read_reference
    from tidemill.domain.digest import Digest

    opened = open_bundle(directory, expected=Digest(digest))
    read_examples(opened)
    with contextlib.suppress(ModuleNotFoundError):  # without Arrow nobody reads the sample, here or later
        read_reference(opened)
    replay(opened, runtime.load(directory, opened.bundle, threads=1))


def _refused(trial: dict[str, Any], problem: str) -> BundleError:
    return BundleError(f"{trial['what']} {trial['directory']} cannot be used: {problem}", trial["remedy"])


def _told(error: TidemillError) -> dict[str, str]:
    return {"error": type(error).__name__, "headline": error.headline[:2000], "remedy": error.remedy[:500]}


if __name__ == "__main__":
    main()
