"""How long the way back from an answer takes, beyond hashing, and whether every one of 1,000 random ones is found.

    python benchmarks/trace.py [--quick] [--json FILE]

A project is made, trained and promoted; its log gets 20,000 answers (5,000 with --quick) in 20 files, a tenth of them
labelled, its ledger 1,000 lines of drift reports. Then 1,000 (200) random answers are traced in one process of its own
that may open no network connection. Each trace reads and hashes the bundle, the run's files, every file of the data
version and every line of the ledger. What is spent on digests (reading a file so as to hash it, a record's canonical
form, SHA-256, and once the rows of the data version) is measured apart; the rest has the bar, in each of the traces.
Beside it: the command as a user runs it, start of Python included.
"""

from __future__ import annotations

import argparse
import json
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

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.bundle.preprocess import canonical_input
from tidemill.domain import registry
from tidemill.domain.digest import Digest
from tidemill.domain.prediction import Feedback, Prediction, new_prediction_id
from tidemill.domain.record import now
from tidemill.domain.registry import ModelVersion
from tidemill.project import models
from tidemill.project.layout import Layout
from tidemill.project.tracing import Tracer

BAR = 50.0  # milliseconds
_FILES, _LINES = 20, 1000
_APART = "measure-apart"
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
    """Counts the seconds that go into digests, by standing before the functions that compute them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = False
        for owner, name in (
            (Digest, "of_file"), (Digest, "of_bytes"), (Digest, "of_json"), (registry, "_line"), (Tracer, "_content"),
        ):  # fmt: skip
            setattr(owner, name, self._counted(getattr(owner, name), bound=owner is Digest))

    def _counted(self, function: Callable[..., Any], *, bound: bool) -> Any:
        def counted(*arguments: Any) -> Any:
            if self._inside:
                return function(*arguments)
            begun, self._inside = time.perf_counter(), True
            try:
                return function(*arguments)
            finally:
                self.seconds += time.perf_counter() - begun
                self._inside = False

        return staticmethod(counted) if bound else counted


def _no_network(*_: object) -> None:
    raise OSError("the benchmark is offline")


def measure(layout: Layout, ids: Sequence[str]) -> dict[str, Any]:
    """Milliseconds a trace, of hashing and beyond it, and how many led all the way back."""
    hashing, apart, beyond, held = Hashing(), [], [], 0
    with Tracer(layout) as tracer:
        for each in ids:
            before, begun = hashing.seconds, time.perf_counter()
            found = tracer.trace(each)
            taken, hashed = time.perf_counter() - begun, hashing.seconds - before
            kinds = {link.kind for link in found.links}
            held += found.verified and kinds >= _KINDS and all(link.verified for link in found.links)
            apart.append(hashed * 1000)
            beyond.append((taken - hashed) * 1000)
    return {
        "asked": len(ids), "held": held, "hashing_ms": statistics.median(apart), "hashing_most_ms": max(apart),
        "beyond_ms": statistics.median(beyond), "beyond_p99_ms": float(np.percentile(beyond, 99)),
        "beyond_most_ms": max(beyond), "over": sum(each > BAR for each in beyond) / len(beyond),
    }  # fmt: skip


def measured_apart(layout: Layout, ids: Sequence[str]) -> dict[str, Any]:
    """`measure` in a process that holds nothing of what trained."""
    given = json.dumps([str(layout.root), *ids])
    done = subprocess.run([sys.executable, __file__, _APART], input=given, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main_apart() -> None:
    socket.socket.connect = _no_network  # type: ignore[method-assign]  # on purpose: offline
    root, *ids = json.load(sys.stdin)
    json.dump(measure(Layout(Path(root)), ids), sys.stdout)


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
        found = measured_apart(layout, chosen)
    print(f"{platform.machine()}, Python {platform.python_version()}, {len(ids):,} answers in the log, offline")
    over = f"{found['over']:.1%} over it"
    print(f"led back, every digest computed anew   {found['held']:,} of {found['asked']:,}    bar: all")
    print(f"a trace beyond hashing, the longest    {found['beyond_most_ms']:.1f} ms    bar: {BAR:.0f} ms, {over}")
    print(f"  its 99th percentile, and the median  {found['beyond_p99_ms']:.1f} ms, {found['beyond_ms']:.1f} ms")
    print(f"hashing, median and the first trace's  {found['hashing_ms']:.1f} ms, {found['hashing_most_ms']:.1f} ms")
    print(f"the command, start included            {started:.0f} ms")
    kept = found["held"] == found["asked"] and found["over"] == 0
    print("held" if kept else "not held")
    if given.json:
        given.json.write_text(json.dumps({**found, "command_ms": started, "bar_ms": BAR, "held_all": kept}, indent=2))
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main_apart() if sys.argv[1:] == [_APART] else main()
