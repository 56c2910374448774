"""Tracking servers of our own on loopback: started, killed, started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

POSTGRES = Path("/usr/lib/postgresql/15/bin")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_for(port: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


class MlflowServer:
    """`mlflow server` on SQLite in `folder`; the same port and data after a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, *, wait: bool = True) -> None:
        command = [
            str(Path(sys.executable).with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", str(self.port),
            "--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        if wait:
            wait_for(self.port)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Postgres:
    """A PostgreSQL of our own in `folder`, by a user that is not root; it can be stopped in its tracks."""

    def __init__(self, folder: Path) -> None:
        self.port, self._data = free_port(), folder / "data"
        folder.mkdir(parents=True, exist_ok=True)
        self._as = []
        if os.getuid() == 0:
            self._as = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]
            shutil.chown(folder, "nobody", "nogroup")
        self._run("initdb", "--pgdata", str(self._data), "--username=tidemill", "--auth=trust", "--no-sync")
        self._process = subprocess.Popen(
            [
                *self._as, str(POSTGRES / "postgres"), "-D", str(self._data), "-p", str(self.port),
                "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._data}", "-c", "fsync=off",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/",
        )  # fmt: skip
        wait_for(self.port)
        self._run("createdb", "--host=127.0.0.1", f"--port={self.port}", "--username=tidemill", "runs")

    @property
    def uri(self) -> str:
        return f"postgresql://tidemill@127.0.0.1:{self.port}/runs"

    def signal(self, number: signal.Signals) -> None:
        """To the server and all its backends, each of which is a process of its own."""
        for pid in [self._process.pid, *_children(self._process.pid)]:
            os.kill(pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait()

    def _run(self, name: str, *arguments: str) -> None:
        deadline = time.monotonic() + 30
        while True:
            done = subprocess.run(
                [*self._as, str(POSTGRES / name), *arguments], capture_output=True, text=True, cwd="/"
            )
            if done.returncode == 0:
                return
            if "starting up" not in done.stderr or time.monotonic() > deadline:
                raise RuntimeError(f"{name}: {done.stderr}")
            time.sleep(0.2)


def _children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.append(int(status.parent.name))
    return found
