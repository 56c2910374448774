"""Trying a bundle that is not known to be good, in a process that may die.

The audit reads a bundle without any library that could be tricked. What comes after it cannot be: ONNX Runtime,
Arrow, the tokenizer and Pillow read what somebody else wrote, and a graph may grow or run without end. So they meet a
new bundle for the first time in a process of its own (started anew, never forked), with a limit on memory and time,
without this process's environment, and unable to write a file. It says what it found, or dies; the caller lives.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tidemill.bundle.proofs import is_proven, one_at_a_time, remember
from tidemill.bundle.read import OpenBundle, open_bundle, read_record
from tidemill.domain.bundle import Bundle
from tidemill.domain.digest import Digest
from tidemill.errors import BundleError, GateError, TidemillError
from tidemill.process import TELEMETRY_OFF, import_path

if TYPE_CHECKING:
    from tidemill.ports import Session

_MOST = 64 << 10
"""Bytes that are read of what the process says: it may be in the hands of whoever wrote the bundle."""

_READY = ("tidemill.bundle.trial", "ready")
STARTING = 15.0
"""Seconds that a process which tries a bundle may take beside the limit: its start, and the audit."""

_KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "HOME", "TMPDIR", "SYSTEMROOT")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class VersionedRuntime(Protocol):
    """A `ports.Runtime` that says which version of which library it is; its class is made without arguments."""

    def load(self, directory: Path, bundle: Bundle, *, threads: int) -> Session: ...

    @property
    def version(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What trying a bundle may take: `memory` bytes, and `per_byte` more for each byte of its files; `seconds`."""

    memory: int = 2 << 30
    per_byte: int = 8
    seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What the process is asked to try: a folder that says it has this digest.

    `ready` is the module and the name of a function that is given `arguments` before the limits hold: it imports
    what is needed, and returns what is called, under the limits, with folder and digest. `what` and `remedy` are the
    words for the error.
    """

    directory: str
    digest: str
    ready: tuple[str, str]
    arguments: tuple[str, ...] = ()
    limits: Limits = Limits()
    what: str = "the bundle"
    remedy: str = "use a bundle that tidemill exported, from a source you trust"


def prove(
    directory: Path,
    expected: Digest | None,
    *,
    runtime: VersionedRuntime,
    proofs: Path | None = None,
    limits: Limits | None = None,
) -> OpenBundle:
    """Audit the bundle in `directory`, and unless `proofs` knows it, have its first load and replay done elsewhere.

    `expected` is its digest, as `open_bundle` takes it. `proofs` is a folder (`proofs.state_folder()`, or one of the
    project's) that remembers what passed, by digest and version of the runtime; None remembers nothing. What is
    returned may be loaded in this process. Of several processes that share the folder, one tries a bundle and the
    others wait. Raises BundleError for a bundle that is refused, kills the process, or takes more than `limits`;
    GateError naming the golden request where an answer differs; BusyError where others try it without end.
    """
    digest = expected or read_record(directory)[1]
    named = type(runtime).__module__, type(runtime).__qualname__
    trial = Trial(str(directory.absolute()), str(digest), _READY, named, limits or Limits())
    if proofs is None:
        try_elsewhere(trial)
    elif not is_proven(proofs, digest, known := libraries(runtime)):
        with one_at_a_time(proofs, digest, trial.limits.seconds + STARTING):
            if not is_proven(proofs, digest, known):
                try_elsewhere(trial)
                opened = open_bundle(directory, expected=digest)
                remember(proofs, digest, known)
                return opened
    return open_bundle(directory, expected=digest)


def libraries(runtime: VersionedRuntime) -> str:
    """What reads a bundle. Where Arrow is missing nobody read its sample: that proves nothing where it is there."""
    try:
        return f"{runtime.version}, Arrow {version('pyarrow')}"
    except PackageNotFoundError:
        return runtime.version


def try_elsewhere(trial: Trial) -> None:
    """Raises BundleError or GateError with what was found, or with what became of the process."""
    command = [sys.executable, "-P", "-m", "tidemill.bundle.trial", json.dumps(asdict(trial))]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
        )
    except OSError as error:
        raise TidemillError(
            f"{trial.what} {trial.directory} cannot be tried: no process starts ({error.strerror})", "try again later"
        ) from None
    try:
        said, late = _listen(process, trial.limits.seconds)
        if not late:
            process.wait(5)
    except subprocess.TimeoutExpired:
        late = True
    finally:
        process.kill()
        code = process.wait()
        assert process.stdout is not None
        process.stdout.close()
    if late:
        raise _bad(trial, f"trying it took longer than {trial.limits.seconds:g} seconds")
    _judge(trial, said, code)


def _environment() -> dict[str, str]:
    """What the process needs to find Tidemill, and nothing that is secret: tokens and passwords are in environments."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    own = {"PYTHONPATH": import_path(), "PYTHONDONTWRITEBYTECODE": "1"}
    return kept | TELEMETRY_OFF | dict.fromkeys(_THREADS, "1") | own


def _listen(process: subprocess.Popen[bytes], seconds: float) -> tuple[bytes, bool]:
    """What it says until it ends or has said too much; and whether the time is over."""
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(said) <= _MOST:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                return said, True
            got = os.read(process.stdout.fileno(), _MOST)
            if not got:
                break
            said += got
    return said, False


def _judge(trial: Trial, said: bytes, code: int) -> None:
    """Raise what the process found, or what its death means."""
    try:
        answer: Any = json.loads(said)
    except ValueError:
        answer = None
    if code != 0 or not isinstance(answer, dict):
        raise _bad(trial, f"the process that tried it {_death(code)}")
    if answer == {"proven": trial.digest}:
        return
    kinds = {"GateError": GateError, "MissingExtraError": TidemillError}  # what is missing is not the bundle's fault
    error = kinds.get(str(answer.get("error")), BundleError)
    raise error(_line(answer.get("headline")), _line(answer.get("remedy")))


def _death(code: int) -> str:
    if code >= 0:
        return f"ended without an answer (exit code {code})"
    try:
        return f"died of {signal.Signals(-code).name}"
    except ValueError:
        return f"died of signal {-code}"


def _line(text: object) -> str:
    """One printable line of what the process said, not longer than a headline may be."""
    shown = text if isinstance(text, str) else "it is refused"
    return "".join(each if each.isprintable() else " " for each in shown)[:600]


def _bad(trial: Trial, problem: str) -> BundleError:
    return BundleError(
        f"{trial.what} {trial.directory} cannot be used: {problem}",
        trial.remedy,
    )


if TYPE_CHECKING:
    from tidemill.backends.runtimes.onnx import OnnxRuntime

    _runtime: VersionedRuntime = OnnxRuntime()
