"""The server beside others: requests a second and latency on the same ONNX graphs.

    python benchmarks/serve.py [--only SECTION ...] [--seconds 8] [--rounds 3] [--json FILE]

Sections: `table`, `image` (numbers as JSON, beside the peers), `binary` (pixels in a binary body, beside ONNX Runtime
alone), `text` (beside ONNX Runtime alone), `steady` (latency at half of the top load), `log` (what the prediction log
costs), `workers`, `cold` (start, memory and room on disk).

Each peer has an environment of its own in build/servers, which is made on the first run (some minutes, and 6 GB); what
cannot be installed is left out, and said. The load comes from wrk, a process of its own, over 32 connections, each
sending another input than the last; the figures are medians of the rounds. Servers get two threads for the graph;
batching is on where it exists; Tidemill's prediction log is on, on disk, as are its checks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CONNECTIONS, THREADS = 32, 2
PEERS = {
    "fastapi": ["fastapi", "uvicorn[standard]", "onnxruntime", "numpy"],
    "litserve": ["litserve", "onnxruntime", "numpy"],
    "bentoml": ["bentoml", "onnxruntime", "numpy"],
    "ray": ["ray[serve]", "onnxruntime", "numpy"],
    "mlflow": ["mlflow", "onnx", "onnxruntime", "virtualenv"],
}


@dataclass(frozen=True)
class Load:
    """What wrk saw: requests a second, milliseconds, and answers that were none."""

    rate: float
    p50: float
    p99: float
    failed: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(SECTIONS))
    parser.add_argument("--peers", nargs="*", default=sorted(PEERS), help="beside which servers")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("the load comes from wrk:  apt-get install wrk")
    machine = f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, Python {platform.python_version()}"
    form = f"{CONNECTIONS} connections, {THREADS} threads a graph, {given.rounds} rounds of {given.seconds} s"
    print(f"{machine}; {form}")
    with tempfile.TemporaryDirectory(prefix="tidemill-serve-") as name:
        bench = Bench(Path(name), given.seconds, given.rounds, given.peers)
        found = {section: SECTIONS[section](bench) for section in given.only or SECTIONS}
    if given.json:
        given.json.write_text(json.dumps(found, indent=2, default=asdict))


class Bench:
    """A folder with a model for each task, and how long a measurement takes."""

    def __init__(self, place: Path, seconds: int, rounds: int, peers: list[str]) -> None:
        self.place, self.seconds, self.rounds, self.peers = place, seconds, rounds, peers
        self._bundles: dict[str, Path] = {}

    def bundle(self, task: str) -> Path:
        """The bundle of a model that is trained on the spot."""
        if task not in self._bundles:
            print(f"  training a model of {task} …", file=sys.stderr)
            self._bundles[task] = train(self.place, task)
        return self._bundles[task]

    def load(
        self, url: str, bodies: list[bytes], kind: str, connections: int = CONNECTIONS, more: str = "", rounds: int = 0
    ) -> Load:
        """The median of the rounds, after one that warms up; `more` is Lua."""
        script = self.place / "load.lua"
        script.write_text(LUA % (len(bodies), kind) + more)
        for number, body in enumerate(bodies):
            (self.place / f"body-{number}").write_bytes(body)
        wrk(url, script, 2, connections, self.place)
        seen = [wrk(url, script, self.seconds, connections, self.place) for _ in range(rounds or self.rounds)]
        return sorted(seen, key=lambda each: each.rate)[len(seen) // 2]


LUA = """
local bodies = {}
for number = 0, %d - 1 do
  local file = io.open("body-" .. number, "rb")
  bodies[number + 1] = file:read("*all")
  file:close()
end
local next = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "%s"
request = function()
  next = next %% #bodies + 1
  return wrk.format(nil, nil, nil, bodies[next])
end
"""


def wrk(url: str, script: Path, seconds: int, connections: int, place: Path) -> Load:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    said = subprocess.run(command, cwd=place, check=True, capture_output=True, text=True).stdout
    quantile = {name: milliseconds(value) for name, value in re.findall(r"^\s+(\d\d)%\s+(\S+)$", said, re.MULTILINE)}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    assert rate, said
    failed = int(bad[1]) if bad else 0
    return Load(float(rate[1]), quantile["50"], quantile["99"], failed + sum(map(int, lost.groups() if lost else ())))


def milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()  # type: ignore[union-attr]  # wrk's own form
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[unit]


# --- models and inputs


def train(place: Path, task: str) -> Path:
    """The bundle of a project's first model."""
    project = place / task
    kind = {"table": "tabular", "image": "image", "text": "text"}[task]
    tidemill(place, "init", task, "--task", kind, *(["--empty"] if task != "text" else []))
    more = []
    if task == "table":
        rows = table(20_000)
        lines = [
            ",".join([*COLUMNS, "target"]),
            *(",".join(map(str, [*row, int(row[0] + row[1] > row[2])])) for row in rows),
        ]
        (place / "table.csv").write_text("\n".join(lines))
        tidemill(project, "data", "add", str(place / "table.csv"), "--name", "table", "--kind", "classification")
        more = ["data=table", "model=xgboost", "model.params.trees=200", "model.params.patience=200"]
    if task == "image":
        folder = place / "pictures"
        for seed, (split, number) in enumerate((("train", 2000), ("val", 200), ("test", 200)), 1):
            for at, picture in enumerate(pictures(number, seed)):
                file = folder / split / str(at % 10) / f"{at}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                save(picture, file)
        tidemill(project, "data", "add", str(folder), "--name", "pictures")
        more = ["data=pictures", "model=small_cnn", "trainer.max_epochs=1"]
    if task == "text":
        more = ["trainer.max_epochs=1"]
    tidemill(project, "train", *more)
    return next((project / ".tidemill/bundles").iterdir())


COLUMNS = [f"c{number}" for number in range(8)]


def table(rows: int) -> Any:
    return np.random.default_rng(0).normal(size=(rows, 8)).round(4)


def pictures(number: int, seed: int = 0) -> Iterator[Any]:
    generator = np.random.default_rng(seed)
    for _ in range(number):
        yield generator.integers(0, 256, (32, 32, 3), np.uint8)


def save(picture: Any, file: Path) -> None:
    from PIL import Image

    Image.fromarray(picture).save(file)


def tidemill(folder: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tidemill", *words], cwd=folder, capture_output=True, text=True, check=False,
        env=environment(),
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"tidemill {' '.join(words)} failed:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(THREADS), "PYTHONWARNINGS": "ignore"}


# --- servers


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
def running(
    command: list[str], port: int, folder: Path, probe: str = "/", env: dict[str, str] | None = None
) -> Iterator[int]:
    """A server until the block ends; its process id. It is ready when something answers."""
    log = folder / "server.log"
    with log.open("wb") as said:
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
    place = ROOT / "build" / "servers" / peer
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
    scripts = HERE / "servers"
    if peer == "mlflow":
        model = place / f"mlflow-{kind}"
        if not model.exists():
            subprocess.run([str(python), str(scripts / "mlflow_model.py"), str(graph), str(model)], check=True)
        command = [
            str(python),
            "-m",
            "mlflow",
            "models",
            "serve",
            "-m",
            str(model),
            "-p",
            str(port),
            "--env-manager",
            "local",
        ]
        with running(command, port, place, "/ping", {"PATH": f"{python.parent}:{os.environ['PATH']}"}):
            yield f"{base}/invocations"
    elif peer == "bentoml":
        command = [str(python), "-m", "bentoml", "serve", "bentoml_server:Served", "--port", str(port)]
        env = {"GRAPH": str(graph), "KIND": kind, "THREADS": str(THREADS), "BENTOML_DO_NOT_TRACK": "True"}
        with running([*command, "--working-dir", str(scripts)], port, place, "/readyz", env):
            yield f"{base}/predict"
    else:
        with running([str(python), str(scripts / f"{peer}_server.py"), *given], port, place, "/", {}):
            time.sleep(5 if peer == "ray" else 1)
            yield f"{base}/predict"


# --- sections


def beside_peers(bench: Bench, task: str, plain: Callable[[Any], Any], bar: float) -> dict[str, Any]:
    """Requests of one input each: Tidemill, then each peer, on the same graph."""
    bundle = bench.bundle(task)
    inputs = list(table(64)) if task == "table" else list(pictures(64))
    found: dict[str, Load] = {}
    with ours(bundle, bench.place) as (base, name, _):
        if task == "table":
            bodies, url = [document({"inputs": [plain(each)]}) for each in inputs], f"{base}/v1/models/{name}:predict"
        else:
            bodies, url = [document(v2(plain(each))) for each in inputs], f"{base}/v2/models/{name}/infer"
        found["tidemill"] = bench.load(url, bodies, "application/json")
        show("tidemill", found["tidemill"])
    for peer in bench.peers:
        python = python_of(peer)
        if python is None:
            continue
        documents: list[Any] = [{"inputs": [plain(each)]} for each in inputs]
        if peer == "mlflow" and task == "table":
            documents = [{"inputs": {name: [[value]] for name, value in plain(each).items()}} for each in inputs]
        try:
            with peer_server(peer, python, bundle / "model.onnx", task, bench.place) as url:
                found[peer] = bench.load(url, [document(each) for each in documents], "application/json")
                show(peer, found[peer])
        except RuntimeError as error:
            print(f"  {peer}: {error}", file=sys.stderr)
    if others := {peer: load for peer, load in found.items() if peer != "tidemill" and not load.failed}:
        best = max(others, key=lambda peer: others[peer].rate)
        ratio = found["tidemill"].rate / others[best].rate
        low = min(load.p99 for load in others.values())
        verdict(f"{ratio:.1f} times {best} (bar {bar:g}); p99 {found['tidemill'].p99:.1f} ms, theirs {low:.1f} at best",
                ratio >= bar and found["tidemill"].p99 < low)  # fmt: skip
    return found


def v2(picture: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 32, 32, 3], "data": picture}]}


def document(plain: Any) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()


def section_table(bench: Bench) -> dict[str, Any]:
    print("\ntable: 200 trees, 8 numbers, JSON")
    return beside_peers(bench, "table", lambda row: dict(zip(COLUMNS, map(float, row), strict=True)), 8)


def section_image(bench: Bench) -> dict[str, Any]:
    print("\nimage: a small network, 32 x 32 x 3 numbers as JSON")
    return beside_peers(bench, "image", lambda picture: picture.tolist(), 3)


def section_binary(bench: Bench) -> dict[str, Any]:
    print("\nbinary: the same network, pixels in a binary body, beside ONNX Runtime alone")
    bundle = bench.bundle("image")
    head = {
        "inputs": [
            {
                "name": "image", "datatype": "UINT8", "shape": [1, 32, 32, 3],
                "parameters": {"binary_data_size": 32 * 32 * 3},
            }
        ],
        "outputs": [{"name": "scores", "parameters": {"binary_data": True}}],
    }  # fmt: skip
    start = document(head)
    bodies = [start + picture.tobytes() for picture in pictures(64)]
    extra = f'\nwrk.headers["Inference-Header-Content-Length"] = "{len(start)}"\n'
    with ours(bundle, bench.place) as (base, name, _):
        url = f"{base}/v2/models/{name}/infer"
        load = bench.load(url, bodies, "application/octet-stream", more=extra)
        feed = bench.place / "feed.npz"
        np.savez(feed, image=np.stack(list(pictures(64))))
        return beside_runtime(bench, load, bundle, feed)


def section_text(bench: Bench) -> dict[str, Any]:
    print("\ntext: a small encoder, sentences as JSON, beside ONNX Runtime with the tokenizer alone")
    bundle = bench.bundle("text")
    texts = sentences()
    with ours(bundle, bench.place) as (base, name, _):
        bodies = [document({"inputs": [text]}) for text in texts]
        load = bench.load(f"{base}/v1/models/{name}:predict", bodies, "application/json")
        feed = bench.place / "texts.json"
        feed.write_text(json.dumps(texts))
        return beside_runtime(bench, load, bundle, feed)


def section_steady(bench: Bench) -> dict[str, Any]:
    print("\nsteady: latency of the table's model at half of its top load, against that of one request at a time")
    with ours(bench.bundle("table"), bench.place) as (base, name, _):
        url, bodies = f"{base}/v1/models/{name}:predict", rows_as_json()
        top = bench.load(url, bodies, "application/json")
        single = bench.load(url, bodies, "application/json", connections=1)
        half = paced(url, bodies[0], top.rate / 2, bench)
    show("top", top)
    show("one at a time", single)
    show("half of the top", half)
    ratio = half.p99 / single.p50
    verdict(f"p99 {ratio:.1f} times the latency of one request (bar 3)", ratio <= 3)
    return {"top": top, "single": single, "half": half}


def section_log(bench: Bench) -> dict[str, Any]:
    print("\nlog: the same server with its prediction log, and with a sink that forgets")
    bundle, found = bench.bundle("table"), dict[str, list[float]](on=[], off=[])
    for _ in range(bench.rounds):
        for name, env in (("on", {}), ("off", {"TIDEMILL_BENCHMARK_FORGET": "1"})):
            command = [sys.executable, str(HERE / "servers" / "tidemill_server.py"), str(bundle)]
            port = free_port()
            log = Path(tempfile.mkdtemp(dir=bench.place))
            with running([*command, str(port), str(log)], port, bench.place, "/v2/health/ready", env):
                model = json.loads((bundle / "bundle.json").read_text())["name"]
                url = f"http://127.0.0.1:{port}/v1/models/{model}:predict"
                found[name].append(bench.load(url, rows_as_json(), "application/json", rounds=1).rate)
            shutil.rmtree(log)
    on, off = (statistics.median(found[name]) for name in ("on", "off"))
    print(f"  on {on:,.0f} /s, off {off:,.0f} /s")
    verdict(f"the log costs {100 * (1 - on / off):.1f} % (bar 5)", on >= 0.95 * off)
    return found


def section_workers(bench: Bench) -> dict[str, Any]:
    print("\nworkers: the table's model by one process and by two")
    found = {}
    for workers in (1, 2):
        with ours(bench.bundle("table"), bench.place, "--workers", str(workers)) as (base, name, _):
            found[workers] = bench.load(f"{base}/v1/models/{name}:predict", rows_as_json(), "application/json")
        show(f"{workers} of them", found[workers])
    ratio = found[2].rate / found[1].rate
    verdict(f"two are {ratio:.2f} times one (bar 1.6)", ratio >= 1.6)
    return {str(workers): load for workers, load in found.items()}


def section_cold(bench: Bench) -> dict[str, Any]:
    print("\ncold: from the command to ready, and memory, with the image model")
    bundle = bench.bundle("image")
    seconds, memory = [], 0.0
    for _ in range(max(5, bench.rounds)):
        began = time.perf_counter()
        with ours(bundle, bench.place) as (_, _, pid):
            seconds.append(time.perf_counter() - began)
            memory = resident(pid)
    size = sum(path.stat().st_size for path in bundle.rglob("*")) / 1e6
    middle = statistics.median(seconds)
    print(f"  {middle:.2f} s to ready, {memory:.0f} MB resident, a bundle of {size:.1f} MB")
    verdict("at most 1.0 s and 200 MB", middle <= 1.0 and memory <= 200)
    return {"seconds": seconds, "resident_mb": memory}


def rows_as_json() -> list[bytes]:
    return [document({"inputs": [dict(zip(COLUMNS, map(float, row), strict=True))]}) for row in table(64)]


def sentences() -> list[str]:
    words = ["the", "a", "film", "plot", "was", "and", "but", "never", "quite", "good", "bad", "dull", "slow", "story"]
    generator = np.random.default_rng(2)
    return [" ".join(generator.choice(words, generator.integers(5, 20))) for _ in range(64)]


def beside_runtime(bench: Bench, load: Load, bundle: Path, feed: Path) -> dict[str, Any]:
    """`load` against the graph on `feed` in batches of 32, in a process of its own, tokens included."""
    command = [sys.executable, str(HERE / "servers" / "runtime_alone.py"), str(bundle), str(feed), str(THREADS)]
    done = subprocess.run([*command, str(bench.seconds)], check=True, capture_output=True, text=True, env=environment())
    alone = float(done.stdout)
    show("tidemill", load)
    print(f"  {'ONNX Runtime alone':<22}{alone:>10,.0f} /s   in batches of 32")
    verdict(f"{load.rate / alone:.2f} of it (bar 0.85)", load.rate >= 0.85 * alone)
    return {"tidemill": load, "alone": alone}


def paced(url: str, body: bytes, rate: float, bench: Bench) -> Load:
    """Requests at a given rate, whatever the answers take, from a process of its own."""
    file = bench.place / "body"
    file.write_bytes(body)
    command = [sys.executable, str(HERE / "servers" / "paced.py"), url, str(file), str(rate), str(bench.seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Load(**json.loads(done.stdout))


def resident(pid: int) -> float:
    """Megabytes of the process and its children."""
    kilobytes = 0
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if int(fields["Pid"]) == pid or int(fields["PPid"]) == pid:
            kilobytes += int(fields.get("VmRSS", "0 kB").split()[0])
    return kilobytes / 1000


def show(name: str, load: Load) -> None:
    failed = f"  {load.failed} FAILED" if load.failed else ""
    print(f"  {name:<22}{load.rate:>10,.0f} /s   p50 {load.p50:>7.2f} ms   p99 {load.p99:>7.2f} ms{failed}", flush=True)


def verdict(text: str, held: bool) -> None:
    print(f"  {text}: {'held' if held else 'NOT held'}", flush=True)


SECTIONS: dict[str, Callable[[Bench], Any]] = {
    "table": section_table,
    "image": section_image,
    "binary": section_binary,
    "text": section_text,
    "steady": section_steady,
    "log": section_log,
    "workers": section_workers,
    "cold": section_cold,
}

if __name__ == "__main__":
    main()
