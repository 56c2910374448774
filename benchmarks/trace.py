"""How long the way back from an answer takes, beyond hashing, and whether every one of 1,000 random ones is found.

    python benchmarks/trace.py [--quick] [--json FILE]

A project is made, trained and promoted; its log gets 20,000 answers (5,000 with --quick) in 20 files, a tenth of them
labelled, its ledger 1,000 lines of drift reports. Then 1,000 (200) random answers are traced in one process of its own
that may open no network connection. Each trace reads and hashes the bundle, the run's files, every file of the data
version and every line of the ledger. What is spent on digests (reading a file so as to hash it, a record's canonical
form, SHA-256, and once the rows of the data version) is measured apart; the rest has the bar, in each of the traces.
Of the longest it says how much of it this process had a processor, and what garbage collection took: on a machine that
others use, the difference is theirs. Beside it: the command as a user runs it, start of Python included.

Then 600 pictures of 100 KB, as the server logs them: single answers are looked up, with their labels, while the spool
is being written and after it was sealed, each in a process of its own. A look-up is part of a trace and has its bar.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tidemill.backends.logs.parquet import ParquetLog
from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.bundle.preprocess import canonical_input
from tidemill.domain import registry
from tidemill.domain.digest import Digest
from tidemill.domain.prediction import Feedback, Prediction, new_prediction_id
from tidemill.domain.record import now
from tidemill.domain.registry import ModelVersion
from tidemill.ports import Answered, Asked
from tidemill.project import models
from tidemill.project.layout import Layout
from tidemill.project.tracing import Tracer

BAR = 50.0  # milliseconds
_FILES, _LINES = 20, 1000
_PICTURES, _PICTURE = 600, 100_000
_APART, _APART_LOOKUP = "measure-apart", "look-up-apart"
_KINDS = {"prediction", "model", "bundle", "run", "config", "code", "environment", "data"}


def answer(layout: Layout, version: ModelVersion, number: int) -> list[str]:
    """The ids of `number` answers to rows of the data, logged and labelled as the server does it, in so many files."""
    predictor = models.open_predictor(layout, version, threads=2)
    rows = _rows(layout)
    ids: list[str] = []
    batch = number // _FILES
    for start in range(0, number, batch):
        sink = ParquetSink(layout.log)
        requests = [rows[index % len(rows)] for index in range(start, start + batch)]
        scored = predictor.score(requests)
        outputs = [each.output for each in predictor.answers(scored.scores)]
        made = [
            Prediction(
                id=new_prediction_id(), at=now(), model=version.name, version=version.number, bundle=version.bundle,
                input_digest=Digest.of_bytes(canonical_input(raw)), input=canonical_input(raw),
                scores=tuple(scored.scores[index].tolist()), output=outputs[index],
                embedding=tuple(scored.embedding[index].tolist()), latency_ms=0.1,
            )
            for index, raw in enumerate(requests)
        ]  # fmt: skip
        sink.append(made)
        ids += [each.id for each in made]
        sink.feedback([Feedback(each.id, each.output, now(), version.name) for each in made[::10]])
        sink.close()
    return ids


def report(layout: Layout, version: ModelVersion) -> None:
    """Lines of the ledger as a watch writes them, one a report."""
    ledger = models.ledger(layout)
    for number in range(_LINES):
        window = {"model": version.name, "version": version.number, "rows": 500, "since": None, "until": None}
        payload = {
            "report": f"r{number}",
            "digest": str(version.bundle),
            "window": window,
            "tests": 31,
            "drifted": False,
        }
        ledger.append("reported", version.name, payload, check=lambda _: None)


def _rows(layout: Layout) -> list[Any]:
    from tidemill.project import data

    return list(data.open_version(layout, "cancer").examples("train").inputs)


class Hashing:
    """Counts the seconds that go into digests, by standing before the functions that compute them.

    `seconds` by the clock, and those in which this process had a processor.
    """

    def __init__(self) -> None:
        self.seconds = (0.0, 0.0)
        self._inside = False
        for owner, name in (
            (Digest, "of_file"), (Digest, "of_bytes"), (Digest, "of_json"), (registry, "_line"), (Tracer, "_content"),
        ):  # fmt: skip
            setattr(owner, name, self._counted(getattr(owner, name), bound=owner is Digest))

    def _counted(self, function: Callable[..., Any], *, bound: bool) -> Any:
        def counted(*arguments: Any) -> Any:
            if self._inside:
                return function(*arguments)
            begun, self._inside = clocks(), True
            try:
                return function(*arguments)
            finally:
                now = clocks()
                self.seconds = (self.seconds[0] + now[0] - begun[0], self.seconds[1] + now[1] - begun[1])
                self._inside = False

        return staticmethod(counted) if bound else counted


class Collecting:
    """Counts the seconds of garbage collection."""

    def __init__(self) -> None:
        self.seconds = self._begun = 0.0
        gc.callbacks.append(self._called)

    def _called(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._begun


def clocks() -> tuple[float, float]:
    """Seconds by the clock, and of this thread on a processor."""
    return time.perf_counter(), time.thread_time()


def _no_network(*_: object) -> None:
    raise OSError("the benchmark is offline")


def measure(layout: Layout, ids: Sequence[str]) -> dict[str, Any]:
    """Milliseconds a trace, of hashing and beyond it, and how many led all the way back."""
    hashing, collecting, apart, beyond, busy, collected, held = Hashing(), Collecting(), [], [], [], [], 0
    with Tracer(layout) as tracer:
        for each in ids:
            before, garbage, begun = hashing.seconds, collecting.seconds, clocks()
            found = tracer.trace(each)
            taken = [(now - then) * 1000 for now, then in zip(clocks(), begun, strict=True)]
            hashed = [(now - then) * 1000 for now, then in zip(hashing.seconds, before, strict=True)]
            kinds = {link.kind for link in found.links}
            held += found.verified and kinds >= _KINDS and all(link.verified for link in found.links)
            apart.append(hashed[0])
            beyond.append(taken[0] - hashed[0])
            busy.append(taken[1] - hashed[1])
            collected.append((collecting.seconds - garbage) * 1000)
    slowest = sorted(range(len(ids)), key=lambda at: -beyond[at])[:5]
    return {
        "asked": len(ids), "held": held, "hashing_ms": statistics.median(apart), "hashing_most_ms": max(apart),
        "beyond_ms": statistics.median(beyond), "beyond_p99_ms": float(np.percentile(beyond, 99)),
        "beyond_most_ms": max(beyond), "over": sum(each > BAR for each in beyond) / len(beyond),
        "busy_most_ms": max(busy),
        "slowest": [
            {"number": at, "beyond_ms": beyond[at], "busy_ms": busy[at], "garbage_ms": collected[at]} for at in slowest
        ],
    }  # fmt: skip


def look_up(log: Path, ids: Sequence[str]) -> dict[str, Any]:
    """Milliseconds that an answer and its label take to find, the first and the longest, and the memory it all took."""
    lookup, taken, before = ParquetLog(log), [], _resident()
    for each in ids:
        begun = time.perf_counter()
        found = lookup.find(each)
        lookup.labels([each])
        taken.append((time.perf_counter() - begun) * 1000)
        assert found.input is not None and len(found.input) == _PICTURE
    grew = _resident("VmHWM") - before
    return {"first_ms": taken[0], "most_ms": max(taken), "ms": statistics.median(taken), "grew_mb": grew}


def _resident(which: str = "VmRSS") -> float:
    """Megabytes, now or (VmHWM) the most so far; `getrusage` would count those of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(which)).split()[1]) / 1024


def log_pictures(sink: ParquetSink, number: int) -> list[str]:
    """The ids of `number` answers to pictures that do not compress, in batches of eight; each tenth is labelled."""
    ids: list[str] = []
    for _ in range(0, number, 8):
        made = [new_prediction_id() for _ in range(8)]
        asked = [Asked("file", 1, os.urandom(_PICTURE), 0.5) for _ in made]
        scores, embedding = np.ones((8, 10), np.float32), np.ones((8, 128), np.float32)
        digest = str(Digest.of_bytes(b"a bundle"))
        sink.answered([Answered("p", 1, digest, time.time_ns() // 1000, made, ["3"] * 8, scores, embedding, asked)])
        ids += made
    sink.feedback([Feedback(each, "3", now(), "p") for each in ids[::10]])
    return ids


def pictures(log: Path) -> dict[str, Any]:
    """`look_up` while the spool is being written, and when it is sealed."""
    sink = ParquetSink(log)
    chosen = random.Random(0).sample(log_pictures(sink, _PICTURES), 50)  # noqa: S311 - no secret
    running = _apart(_APART_LOOKUP, [str(log), *chosen])
    sink.close()
    return {"running": running, "sealed": _apart(_APART_LOOKUP, [str(log), *chosen])}


def _apart(what: str, given: Sequence[str]) -> dict[str, Any]:
    """The same in a process that holds nothing of what trained."""
    done = subprocess.run(
        [sys.executable, __file__, what], input=json.dumps(given), stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main_apart(what: str) -> None:
    socket.socket.connect = _no_network  # type: ignore[method-assign]  # on purpose: offline
    root, *ids = json.load(sys.stdin)
    json.dump(measure(Layout(Path(root)), ids) if what == _APART else look_up(Path(root), ids), sys.stdout)


def command(layout: Layout, prediction_id: str) -> float:
    """Milliseconds that `tidemill trace ID` takes, the middle of five."""
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "tidemill", "trace", prediction_id], cwd=layout.root, check=True, capture_output=True
        )
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


def main() -> None:
    from tidemill.project import scaffold, training

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--data", type=Path, help="not used: the data is scikit-learn's")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        layout = scaffold.init(Path(folder).resolve() / "cancer", name="cancer", task="tabular")
        version = training.train(layout, ("model=linear", "logger.system_metrics=false")).version
        models.promote(layout, "cancer", version.number, force="the benchmark's only version")
        ids = answer(layout, version, 5_000 if given.quick else 20_000)
        report(layout, version)
        chosen = random.Random(0).sample(ids, 200 if given.quick else 1000)  # noqa: S311 - no secret
        started = command(layout, chosen[0])
        found = _apart(_APART, [str(layout.root), *chosen])
        found["pictures"] = pictures(Path(folder) / "log")
    print(f"{platform.machine()}, Python {platform.python_version()}, {len(ids):,} answers in the log, offline")
    over = f"{found['over']:.1%} over it"
    print(f"led back, every digest computed anew   {found['held']:,} of {found['asked']:,}    bar: all")
    print(f"a trace beyond hashing, the longest    {found['beyond_most_ms']:.1f} ms    bar: {BAR:.0f} ms, {over}")
    print(f"  of its own on a processor            {found['busy_most_ms']:.1f} ms")
    print(f"  its 99th percentile, and the median  {found['beyond_p99_ms']:.1f} ms, {found['beyond_ms']:.1f} ms")
    print(f"hashing, median and the first trace's  {found['hashing_ms']:.1f} ms, {found['hashing_most_ms']:.1f} ms")
    for each in found["slowest"]:
        print(
            f"  trace {each['number']:<5} {each['beyond_ms']:6.1f} ms, {each['busy_ms']:.1f} of them on a processor, "
            f"{each['garbage_ms']:.1f} garbage collection"
        )
    print(f"the command, start included            {started:.0f} ms")
    for state, said in found["pictures"].items():
        print(
            f"one of {_PICTURES} pictures of 100 KB, {state:<7}  {said['first_ms']:.1f} ms first, "
            f"{said['ms']:.1f} then, {said['most_ms']:.1f} at most; {said['grew_mb']:.0f} MB more"
        )
    longest = max([found["beyond_most_ms"], *(said["most_ms"] for said in found["pictures"].values())])
    kept = found["held"] == found["asked"] and longest <= BAR
    print("held" if kept else "not held")
    if given.json:
        given.json.write_text(json.dumps({**found, "command_ms": started, "bar_ms": BAR, "held_all": kept}, indent=2))
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main_apart(sys.argv[1]) if sys.argv[1:] in ([_APART], [_APART_LOOKUP]) else main()
