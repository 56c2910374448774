"""Keeps one process that makes the page with Gradio: starts it, replaces it when it dies, and ends it with the server.

The process listens on a socket in a folder that only this user can enter, where it also keeps what is uploaded. It
leaves by itself when its standard input ends, which it does however the server dies.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tidemill.errors import MissingExtraError
from tidemill.process import TELEMETRY_OFF
from tidemill.serve.logs import say
from tidemill.serve.playground.place import choose, make

_PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before a replacement, by how many failed in a row
_SOUND = 30.0  # seconds that one has to live for its death to be no failed start
_LEAVES = 5.0  # seconds to end after being asked
_KEPT = (
    "PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "HOME", "SYSTEMROOT", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
)  # fmt: skip
"""Variables that the page's process is given of the server's, whose other ones hold tokens, passwords and keys."""


def check_installed() -> None:
    """Raises MissingExtraError where Gradio is not installed; imports nothing."""
    if importlib.util.find_spec("gradio") is None:
        raise MissingExtraError("the page made with Gradio", "gradio")


class Keeper:
    """The page's process. As a context manager it is ended, and what was uploaded is removed, at the end."""

    def __init__(self) -> None:
        self._folder = choose()
        self.socket = self._folder / "page"
        self._ended = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    def start(self, url: str, certificate: Path | None = None) -> None:
        """Start it for the server at `url`, whose own certificate it trusts; returns at once."""
        self._thread = threading.Thread(target=self._keep, args=(url, certificate), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it and wait until it is gone."""
        self._ended.set()
        if self._process is not None:
            self._leave(self._process)
        if self._thread is not None:
            self._thread.join(_LEAVES)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _keep(self, url: str, certificate: Path | None) -> None:
        failures = 0
        while not self._ended.wait(_PAUSES[min(failures, len(_PAUSES) - 1)]):
            shutil.rmtree(self._folder / "files", ignore_errors=True)
            began = time.monotonic()
            try:
                self._process = process = _start(self._folder, self.socket, url, certificate)
            except OSError as error:
                failures += 1
                say(f"the page's process was not started: {error.strerror}", level="error")
                continue
            if self._ended.is_set():  # `close` did not see this one
                self._leave(process)
            last = _hear(process)
            failures = 0 if time.monotonic() - began > _SOUND else failures + 1
            if not self._ended.is_set():
                _tell(process, last)

    def _leave(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_LEAVES)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _start(folder: Path, socket: Path, url: str, certificate: Path | None) -> subprocess.Popen[str]:
    files = folder / "files"
    make(folder)
    files.mkdir()
    given = {
        "folder": str(folder), "socket": str(socket), "url": url,
        "certificate": str(certificate.resolve()) if certificate else None,
    }  # fmt: skip
    return subprocess.Popen(
        # -P: what people upload into the folder is never imported
        [sys.executable, "-P", "-m", "tidemill.serve.playground.gradio_page", json.dumps(given)],
        cwd=files,
        env=_environment(files),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # Ctrl-C is for the server, which ends it in its turn
    )


def _environment(files: Path) -> dict[str, str]:
    """What the process needs to find its libraries, and its own settings."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return (
        kept
        | TELEMETRY_OFF
        | {
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_TEMP_DIR": str(files),
            "HF_HUB_OFFLINE": "1",
            "TMPDIR": str(files),
            "OMP_NUM_THREADS": "1",
        }
    )


def _hear(process: subprocess.Popen[str]) -> str:
    """Read what it says on standard error until it ends; returns the last line."""
    assert process.stderr is not None
    lines = deque((line.strip() for line in process.stderr if line.strip()), maxlen=1)
    process.wait()
    process.stderr.close()
    return lines[-1] if lines else "it said nothing"


def _tell(process: subprocess.Popen[str], last: str) -> None:
    say(
        f"the page's process {process.pid} ended with {process.returncode}, and is replaced: {last[:300]}",
        level="error",
        **{"event.action": "page-ended", "tidemill.page.pid": process.pid, "process.exit_code": process.returncode},
    )
