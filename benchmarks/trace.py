"""How long the way back from an answer takes, beyond hashing, and whether every one of 1,000 random ones is found.

    python benchmarks/trace.py [--quick] [--json FILE]

A project is made, trained and promoted; its log gets 20,000 answers (5,000 with --quick), of which 1,000 (200) random
ones are traced in one process that may open no network connection. Each trace rereads and rehashes the bundle, the
run's files and every file of the data version. What SHA-256 over files and rows takes is measured apart. Beside it:
the command as a user runs it, start of Python included.
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
from tidemill.domain.digest import Digest
from tidemill.domain.prediction import Prediction, new_prediction_id
from tidemill.domain.record import now
from tidemill.domain.registry import ModelVersion
from tidemill.project import models, scaffold, training
from tidemill.project.layout import Layout
from tidemill.project.tracing import Tracer

BAR = 50.0  # milliseconds
_BATCH = 500


def answer(layout: Layout, version: ModelVersion, number: int) -> list[str]:
    """The ids of `number` answers to rows of the data, logged as the server logs them."""
    predictor = models.open_predictor(layout, version, threads=2)
    rows = _rows(layout)
    ids: list[str] = []
    sink = ParquetSink(layout.log)
    for start in range(0, number, _BATCH):
        requests = [rows[index % len(rows)] for index in range(start, min(start + _BATCH, number))]
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
    sink.close()
    return ids


def _rows(layout: Layout) -> list[Any]:
    from tidemill.project import data

    return list(data.open_version(layout, "cancer").examples("train").inputs)


class Hashing:
    """Counts the seconds that go into hashing files and rows, by standing before the functions that do it."""

    def __init__(self) -> None:
        from tidemill.dataset.digest import RowHashes

        self.seconds = 0.0
        for owner, name in ((Digest, "of_file"), (Digest, "of_bytes"), (RowHashes, "add"), (RowHashes, "digest")):
            setattr(owner, name, self._counted(getattr(owner, name), bound=owner is Digest))

    def _counted(self, function: Callable[..., Any], *, bound: bool) -> Any:
        def counted(*arguments: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.perf_counter() - begun

        return staticmethod(counted) if bound else counted


def _no_network(*_: object) -> None:
    raise OSError("the benchmark is offline")


def measure(layout: Layout, ids: Sequence[str]) -> dict[str, Any]:
    """Milliseconds a trace, whole and beyond hashing, and how many led all the way back."""
    hashing, whole, beyond, held = Hashing(), [], [], 0
    tracer = Tracer(layout)
    for each in ids:
        before, begun = hashing.seconds, time.perf_counter()
        found = tracer.trace(each)
        taken = time.perf_counter() - begun
        kinds = [link.kind for link in found.links]
        held += found.verified and kinds[-1] == "data" and all(link.verified for link in found.links)
        whole.append(taken * 1000)
        beyond.append((taken - hashing.seconds + before) * 1000)
    return {
        "asked": len(ids), "held": held, "whole_ms": statistics.median(whole), "beyond_ms": statistics.median(beyond),
        "beyond_p99_ms": float(np.percentile(beyond, 99)), "beyond_most_ms": max(beyond),
    }  # fmt: skip


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
        chosen = random.Random(0).sample(ids, 200 if given.quick else 1000)  # noqa: S311 - no secret
        started = command(layout, chosen[0])
        socket.socket.connect = _no_network  # type: ignore[method-assign]  # on purpose: offline
        found = measure(layout, chosen)
    print(f"{platform.machine()}, Python {platform.python_version()}, {len(ids):,} answers in the log, offline")
    print(f"led back, every digest rechecked   {found['held']:,} of {found['asked']:,}    bar: all")
    print(f"a trace beyond hashing, median     {found['beyond_ms']:.1f} ms    bar: {BAR:.0f} ms")
    print(f"  its 99th percentile, and most    {found['beyond_p99_ms']:.1f} ms, {found['beyond_most_ms']:.1f} ms")
    print(f"a trace with hashing, median       {found['whole_ms']:.1f} ms")
    print(f"the command, start included        {started:.0f} ms")
    kept = found["held"] == found["asked"] and found["beyond_p99_ms"] <= BAR
    print("held" if kept else "not held")
    if given.json:
        given.json.write_text(json.dumps({**found, "command_ms": started, "bar_ms": BAR, "held_all": kept}, indent=2))
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
