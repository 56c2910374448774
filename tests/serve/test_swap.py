"""A new version is proven before it answers, and nobody notices the change."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.bundle.read import read_record
from tidemill.errors import BundleError, TidemillError
from tidemill.files import write_atomic
from tidemill.journal.read import Journal
from tidemill.project.layout import Layout
from tidemill.project.serving import start_server
from tidemill.serve.service import Service
from tidemill.serve.swap import Watcher, read_manifest

from .bundles import image_bundle, picture, publish, reseal
from .conftest import load, store
from .load import Load


def _until(url: str, wanted: str, *, there: bool = True) -> dict[str, Any]:
    """The readiness report, once it has the field `wanted`, or has it no longer."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        detail: dict[str, Any] = httpx.get(f"{url}/v2/health/ready").json()
        if (wanted in detail) is there:
            return detail
        time.sleep(0.05)
    raise AssertionError(f"{wanted} in {detail}: {not there}")


def _denormalise(directory: Path) -> None:
    """Alter one constant of the normalisation and make all digests agree with it."""
    path = directory / "model.onnx"
    model = onnx.load(path)
    for constant in model.graph.initializer:
        if constant.name == "full":
            constant.CopyFrom(numpy_helper.from_array(np.asarray(np.float32(254)), "full"))
    path.write_bytes(model.SerializeToString())
    reseal(directory, read_record(directory)[0])


def test_versions_change_under_load_without_a_failed_request(layout: Layout) -> None:
    with start_server(layout, "digits@champion") as server, Load(server.url) as load:
        load.wait_for(50, version=1)
        publish(layout.serving, store(layout, seed=2), 2)
        load.wait_for(50, version=2)
        publish(layout.serving, store(layout, seed=3), 3)
        load.wait_for(50, version=3)
        load.stop()

    assert load.failed == []
    assert set(load.answered.values()) == {1, 2, 3}
    table = Journal(layout.log).predictions()
    logged = dict(zip(table["id"].to_pylist(), table["version"].to_pylist(), strict=True))
    assert table.num_rows == len(logged)
    assert logged == load.answered


def test_a_version_whose_golden_requests_fail_is_refused_and_the_old_one_stays(layout: Layout) -> None:
    bad = image_bundle(layout.bundles / "bad", seed=2)
    _denormalise(bad)
    with start_server(layout, "digits@champion") as server, Load(server.url) as load:
        publish(layout.serving, bad, 2)
        detail = _until(server.url, "refused")
        load.wait_for(50)
        load.stop()
        assert detail["ready"] is True
        assert detail["version"] == 1
        assert "digits/2 is refused" in detail["refused"]
        assert "golden request" in detail["refused"]
        assert "tidemill_version_refused 1.0" in httpx.get(f"{server.url}/metrics").text
        publish(layout.serving, store(layout, seed=3), 3)
        with Load(server.url) as again:
            again.wait_for(10, version=3)
        assert "refused" not in httpx.get(f"{server.url}/v2/health/ready").json()

    assert load.failed == again.failed == []
    assert set(load.answered.values()) == {1}


@pytest.mark.parametrize("harm", ["torn manifest", "no bundle", "altered file", "wrong digest"])
def test_a_version_that_is_damaged_is_refused(layout: Layout, harm: str) -> None:
    with start_server(layout, "digits@champion") as server:
        manifest = layout.serving / "digits" / "champion.json"
        first = manifest.read_bytes()
        second = store(layout, seed=2)
        publish(layout.serving.parent / "beside", second, 2)
        content = (layout.serving.parent / "beside" / "digits" / "champion.json").read_bytes()
        if harm == "torn manifest":
            content = content[: len(content) // 2]
        elif harm == "no bundle":
            shutil.rmtree(second)
        elif harm == "altered file":
            (second / "card.md").write_text("other")
        else:
            content = json.dumps({**json.loads(content), "bundle": "sha256:" + "1" * 64}).encode()
        write_atomic(manifest, content)

        detail = _until(server.url, "refused")

        assert (detail["ready"], detail["version"]) == (True, 1)
        assert str(layout.root) not in detail["refused"]
        answer = httpx.post(f"{server.url}/v1/models/digits:predict", files={"file": picture(1)})
        assert answer.json()["version"] == 1
        write_atomic(manifest, first)
        _until(server.url, "refused", there=False)


def test_a_version_that_is_taken_back_before_the_loop_switched_is_gone(
    layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = layout.serving / "digits" / "champion.json"
    content = manifest.read_bytes()
    first = read_manifest(manifest)[1]
    second = store(layout, seed=2)
    sink = ParquetSink(tmp_path / "log")

    def said(wanted: str) -> None:
        """Blocks the loop's thread until the watcher has said it, or for three seconds."""
        heard, deadline = "", time.monotonic() + 3
        while wanted not in heard and time.monotonic() < deadline:
            time.sleep(0.02)
            heard += capsys.readouterr().err

    async def main() -> int:
        service = Service([load(first, 1)], sink, Journal(tmp_path / "log"))
        watcher = Watcher(manifest, service.slots[0], lambda deployment, place: load(place, deployment.version))
        publish(layout.serving, second, 2)
        said("now serving: digits/2")
        write_atomic(manifest, content)
        said("now serving: digits/1")
        watcher.close()
        await asyncio.sleep(0)
        await service.drain()
        return service.slots[0].model.version

    assert asyncio.run(main()) == 1
    sink.close()


def test_a_bundle_that_comes_late_is_tried_again(layout: Layout) -> None:
    with start_server(layout, "digits@champion") as server:
        second = store(layout, seed=2)
        aside = second.rename(layout.bundles / "aside")
        beside = layout.serving.parent / "beside"
        publish(beside, aside, 2)
        plain = json.loads((beside / "digits" / "champion.json").read_bytes())
        write_atomic(layout.serving / "digits" / "champion.json", json.dumps({**plain, "place": str(second)}).encode())
        _until(server.url, "refused")

        aside.rename(second)

        with Load(server.url) as load:
            load.wait_for(1, version=2)


def test_a_version_that_stays_refused_is_tried_again_and_said_once(
    layout: Layout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def bad(deployment: Any, _: Path) -> Any:
        tried.append(deployment.name)
        raise BundleError("it cannot be used", "mend it")

    async def main() -> None:
        model = load(read_manifest(layout.serving / "digits" / "champion.json")[1], 1)
        sink = ParquetSink(layout.root / "aside")
        service = Service([model], sink, Journal(layout.root / "aside"))
        watcher = Watcher(layout.serving / "digits" / "champion.json", service.slots[0], bad)
        publish(layout.serving, store(layout, seed=2), 2)
        while len(tried) < 3:
            await asyncio.sleep(0.02)
        watcher.close()
        await service.drain()
        sink.close()

    monkeypatch.setattr("tidemill.serve.swap._RETRY", 0.05)
    asyncio.run(asyncio.wait_for(main(), 30))
    assert capsys.readouterr().err.count("refused: digits/2") == 1


def test_a_manifest_that_vanishes_changes_nothing(layout: Layout) -> None:
    with start_server(layout, "digits@champion") as server:
        (layout.serving / "digits" / "champion.json").unlink()
        time.sleep(0.5)
        assert httpx.get(f"{server.url}/v2/health/ready").json()["version"] == 1


@pytest.mark.parametrize("harm", ["normalisation", "golden", "graph"])
def test_a_server_does_not_start_with_an_altered_model(layout: Layout, harm: str) -> None:
    bad = image_bundle(layout.bundles / "bad", seed=2)
    if harm == "normalisation":
        _denormalise(bad)
    elif harm == "golden":
        other = image_bundle(layout.bundles / "other", seed=3)
        shutil.copy(other / "golden.jsonl", bad / "golden.jsonl")
        reseal(bad, read_record(bad)[0])
    publish(layout.serving, bad, 2)
    if harm == "graph":
        with (bad / "model.onnx").open("ab") as file:
            file.write(b"\0")

    with pytest.raises(TidemillError, match="golden request" if harm != "graph" else "model.onnx"):
        start_server(layout, "digits@champion")

    assert not list(layout.servers.glob("*.json"))
    assert not list((layout.log / "spool").glob("*.spool")) if layout.log.exists() else True
