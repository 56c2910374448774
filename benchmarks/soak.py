"""A server at half of what it can, for long, while its model is promoted again and again.

    python benchmarks/soak.py [--minutes 10] [--every 30] [--project FOLDER] [--json FILE]

Makes a project of the shipped table with two versions of a model (or takes one that has them), serves the champion with
the prediction log on, finds the top load with wrk, and then sends half of it while `tidemill models promote` changes
the version every 30 s. For each minute: answers, failures, p99 and the server's memory; at the end, whether the log has
as many predictions as there were answers, each once. The bar: no failure, memory within 10 % and 20 MB of the first
minute's, log complete. Ends with 1 where it is not met.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLIENT = Path(__file__).resolve().parent / "servers" / "soak_client.py"
NAME = "cancer"
MEMORY_SHARE, MEMORY_MB = 1.1, 20.0
LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("body", "rb")
wrk.body = file:read("*all")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--every", type=float, default=30, help="seconds between two promotions")
    parser.add_argument("--project", type=Path, help=f"with versions 1 and 2 of {NAME}, 1 the champion; it is changed")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("the top load comes from wrk:  apt-get install wrk")
    machine = f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}; {given.minutes:g} minutes, a promotion every {given.every:g} s")
    with tempfile.TemporaryDirectory(prefix="tidemill-soak-") as name:
        place = Path(name)
        project = given.project or make(place)
        found = soak(project, place, given.minutes * 60, given.every)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))
    sys.exit(0 if found["sound"] else 1)


def make(place: Path) -> Path:
    """A project with two versions, the first of them champion."""
    print("  training two models …", file=sys.stderr)
    tidemill(place, "init", NAME, "--task", "tabular")
    project = place / NAME
    tidemill(project, "train", "model=linear")
    tidemill(project, "models", "promote", NAME, "1")
    tidemill(project, "train", "model=linear", "seed=7")
    return project


def tidemill(folder: Path, *words: str) -> str:
    done = subprocess.run(command(*words), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"tidemill {' '.join(words)} failed: {done.stderr[-2000:]}")
    return done.stdout


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tidemill", *words]


@contextmanager
def serving(project: Path, found: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Address and process id of a server; its exit code goes to `found`."""
    server = subprocess.Popen(
        command("serve", f"{NAME}@champion", "--port", "0"), cwd=project, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert server.stdout
    try:
        ready = re.search(r"at (http\S+)", server.stdout.readline())
        if ready is None:
            raise RuntimeError("the server did not start")
        yield ready[1], server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        found["exit"] = server.wait(120)
        server.stdout.close()


def soak(project: Path, place: Path, seconds: float, every: float) -> dict[str, Any]:
    """What was seen, `minutes` one by one; says it."""
    found: dict[str, Any] = {"minutes": [], "promotions": 0, "failures": []}
    before = logged(project)[0]
    with serving(project, found) as (base, pid):
        url = f"{base}/v1/models/{NAME}:predict"
        body = place / "body"
        body.write_bytes(example(base, url))
        warm, top = wrk(url, place, 2), wrk(url, place, min(8, max(2, int(seconds / 10))))
        rate = top["rate"] / 2
        print(f"top {top['rate']:,.0f} requests/s, so {rate:,.0f} from now on")
        print(f"{'minute':>8}{'answers':>12}{'failed':>8}{'lost':>6}{'p50 ms':>9}{'p99 ms':>9}{'memory MB':>11}")
        ending = threading.Event()
        promoting = threading.Thread(target=promote, args=(project, every, ending, found))
        promoting.start()
        try:
            for each in minutes(url, body, rate, seconds):
                each["memory"] = resident(pid)
                found["minutes"].append(each)
                say(len(found["minutes"]), each)
        finally:
            ending.set()
            promoting.join()
        answers = int(warm["answers"] + top["answers"]) + sum(each["answers"] for each in found["minutes"])
        found["served"] = counted(base)
    found["answers"] = answers
    found["logged"], found["ids"] = (after - before for after in logged(project))
    return judge(found)


def example(base: str, url: str) -> bytes:
    """A request that the model answers, from its description."""
    with urllib.request.urlopen(f"{base}/openapi.json") as answer:  # noqa: S310 - our own server's
        posted = json.load(answer)["paths"][url.removeprefix(base)]["post"]["requestBody"]["content"]
    return json.dumps(posted["application/json"]["example"]).encode()


def wrk(url: str, place: Path, seconds: int) -> dict[str, float]:
    script = place / "load.lua"
    script.write_text(LUA)
    asked = ["wrk", "-t1", "-c32", f"-d{seconds}s", "-s", str(script), url]
    said = subprocess.run(asked, cwd=place, check=True, capture_output=True, text=True).stdout
    rate, answers = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    if rate is None or answers is None or "Non-2xx" in said:
        raise RuntimeError(f"wrk was not answered as it should:\n{said}")
    return {"rate": float(rate[1]), "answers": float(answers[1])}


def minutes(url: str, body: Path, rate: float, seconds: float) -> Iterator[dict[str, Any]]:
    """What the client tells each minute; short soaks have shorter ones."""
    period = min(60.0, seconds / 4)
    asked = [sys.executable, str(CLIENT), url, str(body), str(rate), str(seconds), str(period)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout
        for line in client.stdout:
            yield json.loads(line)
    if client.returncode:
        raise RuntimeError(f"the client ended with {client.returncode}")


def promote(project: Path, every: float, ending: threading.Event, found: dict[str, Any]) -> None:
    """The other version, again and again."""
    version, due = 1, time.monotonic() + every
    while not ending.wait(max(0.0, due - time.monotonic())):
        version, due = 3 - version, due + every
        try:
            tidemill(project, "models", "promote", NAME, str(version), "--force", "soak")
        except RuntimeError as error:
            found["failures"].append(str(error))
        found["promotions"] += 1


def resident(pid: int) -> float:
    """Memory of the server in MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]  # every process has it


def counted(base: str) -> dict[str, float]:
    """Predictions by version, as the server counts them."""
    with urllib.request.urlopen(f"{base}/metrics") as answer:  # noqa: S310 - our own server's
        text = answer.read().decode()
    series = re.findall(r'^tidemill_predictions_total\{[^}]*version="(\d+)"[^}]*\} ([\d.e+]+)$', text, re.MULTILINE)
    return {version: float(value) for version, value in series}


def logged(project: Path) -> tuple[int, int]:
    """Predictions in the log, and different ids among them."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from tidemill.journal.sweep import seal_abandoned

    seal_abandoned(project / ".tidemill" / "log")  # what the server had no time for
    files = sorted((project / ".tidemill" / "log" / "predictions").glob("*.parquet"))
    tables = [pq.read_table(file, columns=["id"]) for file in files]
    rows = sum(table.num_rows for table in tables)
    return rows, sum(pc.count_distinct(table["id"]).as_py() for table in tables)


def say(number: int, each: dict[str, Any]) -> None:
    p50, p99 = (f"{each[name]:.1f}" if each[name] is not None else "-" for name in ("p50", "p99"))
    print(
        f"{number:>8}{each['answers']:>12,}{each['failed']:>8}{each['lost']:>6}{p50:>9}{p99:>9}{each['memory']:>11.0f}",
        flush=True,
    )


def judge(found: dict[str, Any]) -> dict[str, Any]:
    """Hold it against the bar."""
    failed = sum(each["failed"] + each["lost"] for each in found["minutes"])
    first, last = found["minutes"][0]["memory"], found["minutes"][-1]["memory"]
    flat = last <= first * MEMORY_SHARE + MEMORY_MB
    # wrk leaves when its time is over: answers that it did not wait for are in the log, one a connection and run
    unheard = found["logged"] - found["answers"]
    complete = 0 <= unheard <= 64 and found["ids"] == found["logged"] == sum(found["served"].values())
    found["sound"] = not failed and not found["failures"] and flat and complete and found["exit"] == 0
    rows = ", ".join(f"version {version} {count:,.0f}" for version, count in found["served"].items())
    print(
        f"{failed} failed; {found['promotions']} promotions, {len(found['failures'])} of them failed; answered: {rows}"
    )
    print(f"memory {first:.0f} -> {last:.0f} MB; the server ended with {found['exit']}")
    print(f"{found['answers']:,} answers, {found['logged']:,} predictions in the log, {found['ids']:,} different ids")
    for failure in found["failures"]:
        print(f"  {failure}")
    print("ok" if found["sound"] else "the bar is not met")
    return found


if __name__ == "__main__":
    main()
