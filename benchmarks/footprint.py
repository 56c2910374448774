"""What a server weighs: its environment on disk, its start, its memory.

    python benchmarks/footprint.py [--quick] [--json FILE] [--environment FOLDER]

An environment is made by `pip install .` alone, without any extra, from a copy of this checkout, and measured on disk:
as pip left it, and without pip and setuptools, which serve nothing; then another with `.[text]`. FOLDER and FOLDER-text
are kept, and used again. A MobileNet v2 of
9 MB is trained for one epoch on the digits that are shipped (by the Python that runs this), and the server of that
environment serves its bundle: seconds from exec until /v2/health/ready says 200, of the very first start, in which
the bundle is tried, and the median of 5 (3 with --quick) later ones; megabytes (Pss, all processes) when ready, and
after 2,000 (500) pictures.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SECONDS, MEMORY, DISK = 1.0, 200.0, 250.0
_TOOLS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth", "wheel")
_PATIENCE = 60  # seconds


def install(environment: Path, extra: str = "") -> None:
    """A virtual environment that holds what `pip install .` brings, in the versions that are tested together."""
    if (environment / "bin" / "tidemill").is_file():
        return
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tidemill"
        shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        command = [str(environment / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        command += [f"{copy}{extra}", "--constraint", str(ROOT / "constraints.txt")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"pip install failed:\n{done.stderr[-3000:]}")


def weigh(environment: Path) -> dict[str, Any]:
    """Megabytes on disk, as du counts them: whole, without pip and setuptools, and the ten largest parts."""
    (packages,) = environment.glob("lib/python*/site-packages")
    parts = {path.name: _room(path) for path in packages.iterdir()}
    tools = sum(room for name, room in parts.items() if name.split("-")[0] in _TOOLS)
    whole = _room(environment)
    largest = dict(sorted(parts.items(), key=lambda part: -part[1])[:10])
    return {"whole_mb": whole, "packages_mb": sum(parts.values()), "serving_mb": whole - tools, "largest_mb": largest}


def _room(path: Path) -> float:
    """Blocks that are taken, each file once however many names it has."""
    seen: dict[tuple[int, int], int] = {}
    for each in (path, *path.rglob("*")) if path.is_dir() and not path.is_symlink() else (path,):
        status = each.lstat()
        seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values()) / 1e6


def train(folder: Path) -> Path:
    """The bundle of a MobileNet v2."""
    for words in (
        ["init", "project", "--task", "image"],
        ["train", "model=mobilenet_v2", "trainer.max_epochs=1", "logger.system_metrics=false"],
    ):
        place = folder if words[0] == "init" else folder / "project"
        command = [sys.executable, "-m", "tidemill", *words]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"tidemill {' '.join(words)} failed:\n{done.stderr[-3000:]}")
    (bundle,) = (folder / "project" / ".tidemill" / "bundles").iterdir()
    return bundle


@contextmanager
def served(environment: Path, bundle: Path, folder: Path) -> Iterator[tuple[int, int, float]]:
    """Its port, its process, and the seconds from exec to ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(environment / "bin" / "tidemill"), "serve", str(bundle), "--port", str(port)]
    begun = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            while not _ready(port):
                if process.poll() is not None or time.perf_counter() - begun > _PATIENCE:
                    sys.exit("the server did not become ready")
                time.sleep(0.002)
            yield port, process.pid, time.perf_counter() - begun
        finally:
            process.terminate()


def _ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False


def memory(pid: int) -> float:
    """Megabytes (Pss) of a process and of all that it started."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    found = sum(memory(int(child)) for each in children for child in each.read_text().split())
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            found += int(line.split()[1]) * 1024 / 1e6
    return found


def ask(port: int, name: str, number: int) -> None:
    """So many pictures, one after the other on one connection."""
    generator = np.random.default_rng(0)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(number):
        file = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (8, 8), np.uint8)).save(file, "PNG")
        connection.request("POST", f"/v1/models/{name}:predict", file.getvalue(), {"Content-Type": "image/png"})
        answer = connection.getresponse()
        if answer.status != 200:
            sys.exit(f"the server answered {answer.status}: {answer.read()[:300]!r}")
        answer.read()
    connection.close()


def run(environment: Path, bundle: Path, folder: Path, *, quick: bool) -> dict[str, Any]:
    """Seconds and megabytes of a server on `bundle`."""
    name = json.loads((bundle / "bundle.json").read_bytes())["name"]
    with served(environment, bundle, folder) as (_, _, first):
        pass
    seconds, when_ready = [], []
    for _ in range(3 if quick else 5):
        with served(environment, bundle, folder) as (_, pid, taken):
            seconds.append(taken)
            when_ready.append(memory(pid))
    number = 500 if quick else 2000
    with served(environment, bundle, folder) as (port, pid, _):
        ask(port, name, number)
        after = memory(pid)
    return {
        "first_s": first, "start_s": statistics.median(seconds), "starts_s": seconds,
        "ready_mb": statistics.median(when_ready), "after_mb": after, "requests": number,
        "model_mb": (bundle / "model.onnx").stat().st_size / 1e6,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--data", type=Path, help="not used: the data is scikit-learn's")
    parser.add_argument("--environment", type=Path, help="where the environment is made, or lies")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemill-footprint-") as name:
        folder = Path(name).resolve()
        environment = (given.environment or folder / "environment").resolve()
        install(environment)
        disk = weigh(environment)
        install(with_text := environment.with_name(f"{environment.name}-text"), "[text]")
        text = weigh(with_text)
        found = run(environment, train(folder), folder, quick=given.quick)
    print(f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, Python {platform.python_version()}")
    for name, room in disk["largest_mb"].items():
        print(f"  {name:<32}{room:>7.1f} MB")
    held = [
        _row("environment, as pip left it", disk["whole_mb"], DISK, "MB"),
        _row(f"cold start to ready, a model of {found['model_mb']:.0f} MB", found["start_s"], SECONDS, "s"),
        _row("memory when ready", found["ready_mb"], MEMORY + found["model_mb"], "MB"),
        _row(f"memory after {found['requests']:,} pictures", found["after_mb"], MEMORY + found["model_mb"], "MB"),
    ]
    for what, room in (("the environment", disk), ("that with `.[text]`", text)):
        print(
            f"{what}: {room['whole_mb']:.0f} MB, without pip and setuptools {room['serving_mb']:.0f} MB, "
            f"site-packages {room['packages_mb']:.0f} MB"
        )
    print(f"the first start, with the trial of the bundle {found['first_s']:.2f} s")
    if given.json:
        given.json.write_text(json.dumps({**disk, **found, "text": text, "held_all": all(held)}, indent=2))
    sys.exit(0 if all(held) else 1)


def _row(what: str, value: float, bar: float, unit: str) -> bool:
    shown = ".0f" if unit == "MB" else ".2f"
    print(f"{what:<42}{value:>8{shown}} {unit:<3} bar: {bar:{shown}} {unit}  {'held' if value <= bar else 'NOT held'}")
    return value <= bar


if __name__ == "__main__":
    main()
