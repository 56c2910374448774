"""MLflow's own page over the project's database, as a child process on a leash."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tidemill.errors import TidemillError
from tidemill.process import TELEMETRY_OFF
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout

State = Literal["off", "starting", "ready", "failed"]
_PATIENCE = 120.0  # seconds until a start counts as failed


@dataclass(frozen=True, slots=True)
class MlflowLink:
    """What a page shows of it. `problem` says why it failed."""

    state: State
    address: str = ""
    problem: str = ""


class MlflowPage:
    """Starts with `start`, which does not wait; `stop` ends it and all its processes, and so does our own death."""

    def __init__(self, layout: Layout, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self._layout, self._port = layout, port
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = threading.Event()
        self._stopped = threading.Event()
        self._problem = ""

    @property
    def link(self) -> MlflowLink:
        """How it stands now."""
        if self._problem:
            return MlflowLink("failed", problem=self._problem)
        return MlflowLink("ready" if self._ready.is_set() else "starting", self.address)

    def start(self) -> None:
        """Start it in the background; what it prints goes to `.tidemill/cache/mlflow-ui.log`."""
        threading.Thread(target=self._run, name="mlflow-page", daemon=True).start()

    def stop(self) -> None:
        """End it; returns when it has ended, after at most five seconds."""
        self._stopped.set()
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        if process.poll() is None:
            process.kill()

    def _run(self) -> None:
        log = self._layout.cache / "mlflow-ui.log"
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as output:
                uri = ensure_database(self._layout)
                self._process = _start(self._layout, uri, self._port, output.fileno())
        except TidemillError as error:
            self._problem = error.headline
            return
        except OSError as error:
            self._problem = f"MLflow could not be started: {error.strerror}"
            return
        if self._stopped.is_set():
            self.stop()
            return
        self._wait(self._process, log)

    def _wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._stopped.wait(0.25):
            if process.poll() is not None:
                self._ready.clear()
                self._problem = f"MLflow ended with code {process.returncode}: see {log}"
                return
            if not self._ready.is_set():
                if _answers(self.address):
                    self._ready.set()
                elif time.monotonic() > deadline:
                    self._problem = f"MLflow does not answer: see {log}"
                    return


def _start(layout: Layout, uri: str, port: int, output: int) -> subprocess.Popen[bytes]:
    hosts = f"127.0.0.1:{port},localhost:{port}"
    origins = f"http://127.0.0.1:{port},http://localhost:{port}"
    command = [
        sys.executable, "-m", "tidemill.web.leash",
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", uri, "--artifacts-destination", str(layout.artifacts),
        "--default-artifact-root", str(layout.artifacts),
        "--allowed-hosts", hosts, "--cors-allowed-origins", origins,
    ]  # fmt: skip
    settings = os.environ | TELEMETRY_OFF | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    settings.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=settings, cwd=layout.state,
        start_new_session=True,
    )  # fmt: skip


def _answers(address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
