"""The library that sees file accesses of native code: compiled on first use where there is a C compiler."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from tidemill.stages.capture.notes import STARTED, NoteLog

_COMPILERS = ("cc", "gcc", "clang")


def built(folder: Path) -> Path | None:
    """The compiled library, kept in `folder`; None where it cannot be had or does not work.

    One that was compiled but did not work leaves an empty file, so that it is not tried at each run.
    """
    if not sys.platform.startswith("linux"):
        return None
    source = files("tidemill.shim").joinpath("opens.c").read_bytes()
    name = hashlib.sha256(source + platform.machine().encode() + platform.libc_ver()[0].encode()).hexdigest()[:16]
    path = folder / f"opens-{name}.so"
    if " " in str(path) or ":" in str(path):  # LD_PRELOAD knows no quoting
        path = Path(tempfile.gettempdir()) / f"tidemill-{os.getuid()}" / path.name
    try:
        if not path.exists():
            _make(source, path)
        return path if path.stat().st_size and path.stat().st_uid == os.getuid() else None
    except OSError:
        return None


def _make(source: bytes, path: Path) -> None:
    compiler = next((each for each in _COMPILERS if shutil.which(each)), None)
    if compiler is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        beside = Path(temporary) / "opens.so"
        options = ("-shared", "-fPIC", "-O2", "-x", "c", "-", "-o", str(beside), "-ldl")
        done = subprocess.run((compiler, *options), input=source, capture_output=True, check=False)
        if done.returncode or not _works(beside, Path(temporary)):
            beside.write_bytes(b"")
        os.replace(beside, path)


def _works(library: Path, folder: Path) -> bool:
    """Whether a process that is given it says nothing about it, and is seen."""
    log = NoteLog(folder / "log", ())
    try:
        environment = {**os.environ, "LD_PRELOAD": str(library), "TIDEMILL_CAPTURE": str(folder / "log")}
        done = subprocess.run(
            (sys.executable, "-ISc", ""), env=environment, capture_output=True, timeout=30, check=False
        )
        return done.returncode == 0 and not done.stderr and any(note.kind == STARTED for note in log.read())
    except (OSError, subprocess.SubprocessError):
        return False
    finally:
        log.close()
