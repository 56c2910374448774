"""Artefacts in an object store that answers 503, is slow, cuts connections: sent again, and never half there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.serve.bundles import tabular_bundle
from tests.tracking.proxy import Fault, proxied
from tidemill.backends.registries.mlflow import MlflowRegistry
from tidemill.backends.trackers.mlflow import MlflowTracker
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout

BUCKET = "artefacts"
_BIG = 20 * 2**20  # bytes: sent in parts


class Weather:
    """What happens to uploads: `faults` one after the other, and then none."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._lock = threading.Lock()

    def __call__(self, method: str, path: str) -> Fault:
        with self._lock:
            return self.faults.pop(0) if method in ("PUT", "POST") and self.faults else "none"


@pytest.fixture
def weather(monkeypatch: pytest.MonkeyPatch) -> Iterator[Weather]:
    """A store behind a proxy, as MLflow finds it; faults are to be set."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    found = Weather()
    with proxied(host, port, found) as uri:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", uri)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield found
    server.stop()


def _objects() -> dict[str, int]:
    """What is in the bucket, by the name within the run."""
    listed: list[dict[str, Any]] = boto3.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {each["Key"].split("/artifacts/")[1]: each["Size"] for each in listed}


def _folder(path: Path) -> Path:
    path.mkdir()
    for number in range(4):
        (path / f"{number}.txt").write_bytes(bytes([number]) * 1000)
    (path / "weights").write_bytes(os.urandom(_BIG))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("503",), ("reset",), ("slow", "lost"), ("503", "reset", "lost")])
def test_artefacts_arrive_whole(kinds: tuple[Fault, ...], weather: Weather, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "project")
    tracker = MlflowTracker(
        ensure_database(layout), experiment="stored", artifacts=f"s3://{BUCKET}/runs", spool=layout.spool, wait=120
    )
    given = _folder(tmp_path / "given")
    sizes = {f"source/{path.name}": path.stat().st_size for path in given.iterdir()}
    run = tracker.start("one", {}, {})
    tracker.settle(run)
    weather.faults = list(islice(cycle(kinds), 8))
    tracker.keep(run, given, "source")
    tracker.log(run, {"loss": 1.0}, 0)  # does not wait for it
    waiting = threading.Thread(target=tracker.settle, args=(run,))
    waiting.start()
    while waiting.is_alive():
        assert _objects().items() <= sizes.items(), "what is there is whole"
        waiting.join(0.1)
    assert not weather.faults
    tracker.finish(run, "finished")
    assert _objects() == sizes
    back = tracker.fetch(run, "source", tmp_path / "back")
    assert {path.name: path.read_bytes() for path in back.iterdir()} == {
        path.name: path.read_bytes() for path in given.iterdir()
    }
    assert not list(layout.spool.iterdir())


def test_a_version_is_made_when_its_bundle_is_whole(weather: Weather, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "project")
    uri = ensure_database(layout)
    tracker = MlflowTracker(uri, experiment="stored", artifacts=f"s3://{BUCKET}/runs", spool=layout.spool)
    bundle = tabular_bundle(tmp_path / "bundle")
    run = tracker.start("one", {}, {})
    tracker.settle(run)
    registry = MlflowRegistry(uri)
    busy: list[Fault] = ["503"]
    weather.faults = [*busy * 7, "reset", "lost"]
    version = registry.register("sizes", bundle, run, {})
    assert not weather.faults
    assert [each.number for each in registry.versions("sizes")] == [version] == [1]
    fetched = registry.bundle(registry.versions("sizes")[0], tmp_path / "fetched")
    assert {path.name: path.read_bytes() for path in fetched.iterdir() if path.is_file()} == {
        path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()
    }
    tracker.finish(run, "finished")
