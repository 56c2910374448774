"""What is changed in MLflow's UI while servers run takes effect in them: a thread looks, a process of its own follows.

The look is light, and needs nothing but the standard library (PostgreSQL its driver): which versions MLflow's aliases
name. Where they were changed and are not what the manifests say, `reconcile` runs as any command runs it, in a process
that gives way to others and ends. The server itself imports neither MLflow nor SQLAlchemy.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tidemill.errors import TidemillError
from tidemill.project.glancing import Aliases, Glance, glance_of
from tidemill.project.layout import Layout

_PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds between two looks, by how many in a row have failed."""

_NICE = 10
_PATIENCE = 300.0  # seconds for a process that follows, which may have to fetch a bundle


@contextmanager
def following(layout: Layout | None, manifests: Sequence[Path]) -> Iterator[None]:
    """Look at MLflow's aliases while the body runs, for servers that watch these `manifests`."""
    glance = None
    if layout is not None and manifests:
        with suppress(TidemillError):  # a setting of MLflow's that makes no sense; servers read manifests only
            glance = glance_of(layout)
    if layout is None or glance is None:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_follow, args=(layout, manifests, glance, stop), name="registry", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()


def _follow(layout: Layout, manifests: Sequence[Path], glance: Glance, stop: threading.Event) -> None:
    names = sorted({manifest.parent.name for manifest in manifests})
    known: Aliases | None = None
    failures = 0
    while not stop.wait(_PAUSES[min(failures, len(_PAUSES) - 1)] * glance.patience):
        try:
            found = glance.look(names)
            if found != known and not _in_step(found, manifests):
                _reconcile(layout, names, stop)
            known, failures = found, 0
        except Exception as error:  # a registry that is away, or a database that is locked, is none of the server's
            failures += 1
            if failures == len(_PAUSES):
                _say(error)
    glance.close()


def _in_step(found: Aliases, manifests: Sequence[Path]) -> bool:
    return all(found.get(path.parent.name, {}).get(path.stem) == _published(path) for path in manifests)


def _published(manifest: Path) -> int | None:
    from tidemill.errors import NotFoundError
    from tidemill.serve.swap import read_manifest

    with suppress(NotFoundError):
        return read_manifest(manifest)[0].version
    return None


def _reconcile(layout: Layout, names: Sequence[str], stop: threading.Event) -> None:
    """Run `main` in a process of its own. Raises TidemillError with its words when it fails."""
    command = [sys.executable, "-P", "-m", "tidemill.project.following", str(layout.root), *names]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        encoding="utf-8", errors="replace",
    ) as process:  # fmt: skip
        said = _heard(process, stop)
    if process.returncode and not stop.is_set():
        lines = [line for line in said.splitlines() if line.strip()]
        raise TidemillError(lines[-1][:300] if lines else f"it ended with {process.returncode}")


def _heard(process: subprocess.Popen[str], stop: threading.Event) -> str:
    waited = 0.0
    while True:
        try:
            return process.communicate(timeout=0.5)[1]
        except subprocess.TimeoutExpired:
            waited += 0.5
            if stop.is_set() or waited > _PATIENCE:
                process.kill()  # the next command goes on where it was


def _say(error: Exception) -> None:
    from tidemill.errors import first_line
    from tidemill.serve.logs import say

    what = error.headline if isinstance(error, TidemillError) else first_line(error)
    say(
        f"changes made in MLflow are not followed for now: {what}", level="warn",
        **{"event.action": "registry-unseen", "error.type": type(error).__name__},
    )  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """`ROOT NAME…`: let ledger, aliases and manifests of the models follow what was changed in MLflow."""
    from tidemill.project.publishing import reconcile

    os.nice(_NICE)
    try:
        for name in arguments[1:]:
            reconcile(Layout(Path(arguments[0])), name)
    except TidemillError as error:
        print(error.headline, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
