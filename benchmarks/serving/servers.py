"""Servers that run while a block does: Tidemill's, and its peers' in environments of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.serving.machine import SERVER_CPUS, THREADS, confined, environment

SCRIPTS = Path(__file__).resolve().parents[1] / "servers"
ENVIRONMENTS = SCRIPTS.parents[1] / "build" / "servers"
PEERS = {
    "fastapi": ["fastapi", "uvicorn[standard]", "onnxruntime", "numpy"],
    "litserve": ["litserve", "onnxruntime", "numpy"],
    "bentoml": ["bentoml", "onnxruntime", "numpy"],
    "ray": ["ray[serve]", "onnxruntime", "numpy"],
    "mlflow": ["mlflow", "onnx", "onnxruntime", "virtualenv"],
}


@contextmanager
def ours(bundle: Path, place: Path, *more: str) -> Iterator[tuple[str, str, int]]:
    """Tidemill's address, the model's name in it, and the process."""
    port = free_port()
    log = Path(tempfile.mkdtemp(dir=place))
    command = [sys.executable, "-m", "tidemill", "serve", str(bundle), "--port", str(port), "--log", str(log), *more]
    with running(command, port, place, "/v2/health/ready") as process:
        name = json.loads((bundle / "bundle.json").read_text())["name"]
        yield f"http://127.0.0.1:{port}", name, process
    shutil.rmtree(log, ignore_errors=True)


@contextmanager
def logging_or_not(bundle: Path, place: Path, *, log: bool) -> Iterator[tuple[str, int]]:
    """Where Tidemill's predictions are asked for, and the process: with its log, or with a sink that forgets."""
    port, folder = free_port(), Path(tempfile.mkdtemp(dir=place))
    command = [sys.executable, str(SCRIPTS / "tidemill_server.py"), str(bundle), str(port), str(folder)]
    with running(command, port, place, "/v2/health/ready", {} if log else {"TIDEMILL_BENCHMARK_FORGET": "1"}) as pid:
        name = json.loads((bundle / "bundle.json").read_text())["name"]
        yield f"http://127.0.0.1:{port}/v1/models/{name}:predict", pid
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(
    command: list[str], port: int, folder: Path, probe: str = "/", env: dict[str, str] | None = None
) -> Iterator[int]:
    """A server until the block ends; its process id. It is ready when something answers."""
    log = folder / "server.log"
    with log.open("wb") as said, confined(SERVER_CPUS):
        process = subprocess.Popen(
            command, cwd=folder, stdout=said, stderr=said, env=environment() | (env or {}), start_new_session=True
        )
    try:
        until = time.monotonic() + 90
        while not answers(port, probe):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield process.pid
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        time.sleep(0.5)


def answers(port: int, probe: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{probe}", timeout=2) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code in (404, 405) and probe != "/v2/health/ready"
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def python_of(peer: str) -> Path | None:
    """The interpreter of a peer's environment, which is made where there is none; None where it cannot be."""
    place = ENVIRONMENTS / peer
    python, stamp = place / "bin" / "python", place / "complete"
    if not stamp.is_file():
        print(f"  installing {peer} …", file=sys.stderr)
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PEERS[peer]], check=False
        )
        if done.returncode:
            print(f"  {peer} cannot be installed here, and is left out", file=sys.stderr)
            return None
        stamp.touch()
    return python


@contextmanager
def peer_server(peer: str, python: Path, graph: Path, kind: str, place: Path) -> Iterator[str]:
    """The address to send to."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    given = [str(graph), kind, str(port), str(THREADS)]
    if peer == "mlflow":
        model = place / f"mlflow-{kind}"
        if not model.exists():
            subprocess.run([str(python), str(SCRIPTS / "mlflow_model.py"), str(graph), str(model)], check=True)
        command = [str(python), "-m", "mlflow", "models", "serve", "-m", str(model), "-p", str(port)]
        with running(
            [*command, "--env-manager", "local"],
            port,
            place,
            "/ping",
            {"PATH": f"{python.parent}:{os.environ['PATH']}"},
        ):
            yield f"{base}/invocations"
    elif peer == "bentoml":
        command = [str(python), "-m", "bentoml", "serve", "bentoml_server:Served", "--port", str(port)]
        env = {"GRAPH": str(graph), "KIND": kind, "THREADS": str(THREADS), "BENTOML_DO_NOT_TRACK": "True"}
        with running([*command, "--working-dir", str(SCRIPTS)], port, place, "/readyz", env):
            yield f"{base}/predict"
    else:
        with running([str(python), str(SCRIPTS / f"{peer}_server.py"), *given], port, place, "/", {}):
            time.sleep(5 if peer == "ray" else 1)
            yield f"{base}/predict"
