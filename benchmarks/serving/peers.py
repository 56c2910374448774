"""Requests a second beside the peers, and beside ONNX Runtime alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.serving.bench import Bench, verdict
from benchmarks.serving.machine import SERVER_CPUS, THREADS, confined, environment
from benchmarks.serving.models import COLUMNS, document, pictures, sentences, table
from benchmarks.serving.servers import SCRIPTS, ours, peer_server, python_of
from benchmarks.serving.wrk import Load, show


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


def beside_runtime(bench: Bench, load: Load, bundle: Path, feed: Path) -> dict[str, Any]:
    """`load` against the graph on `feed` in batches of 32, in a process of its own, tokens included."""
    command = [sys.executable, str(SCRIPTS / "runtime_alone.py"), str(bundle), str(feed), str(THREADS)]
    with confined(SERVER_CPUS):
        done = subprocess.run(
            [*command, str(bench.seconds)], check=True, capture_output=True, text=True, env=environment()
        )
    alone = float(done.stdout)
    show("tidemill", load)
    print(f"  {'ONNX Runtime alone':<22}{alone:>10,.0f} /s   in batches of 32")
    verdict(f"{load.rate / alone:.2f} of it (bar 0.85)", load.rate >= 0.85 * alone)
    return {"tidemill": load, "alone": alone}
