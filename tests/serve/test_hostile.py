"""A promotion of what is broken or means harm: the server lives, the old version answers, and it says why."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import httpx
import pytest

from tests.bundle.hostile import grow
from tidemill.bundle.read import open_bundle
from tidemill.project.layout import Layout
from tidemill.project.serving import start_server

from .bundles import image_bundle, publish
from .load import Load


@pytest.mark.slow
def test_a_graph_that_grows_while_it_runs_ends_in_a_process_of_its_own(layout: Layout, tmp_path: Path) -> None:
    place = image_bundle(tmp_path / "new", seed=4)
    grow(place)
    final = layout.bundle(open_bundle(place).digest)
    shutil.move(place, final)
    with start_server(layout, "digits@champion") as server, Load(server.url) as load:
        publish(layout.serving, final, 2)
        _wait(server.url, load, "memory")
        load.stop()
    assert load.failed == []


@pytest.mark.slow
def test_a_copy_that_is_cut_off_is_refused_until_it_is_whole(layout: Layout, tmp_path: Path) -> None:
    place = image_bundle(tmp_path / "new", seed=4)
    final = layout.bundle(open_bundle(place).digest)
    shutil.move(place, final)
    beside = layout.serving.parent / "beside"
    publish(beside, final, 2)
    graph = final / "model.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(whole[:-40])
    with start_server(layout, "digits@champion") as server, Load(server.url) as load:
        shutil.copyfile(beside / "digits" / "champion.json", layout.serving / "digits" / "champion.json")
        _wait(server.url, load, "model.onnx")
        graph.write_bytes(whole)
        load.wait_for(5, version=2)
        load.stop()
    assert load.failed == []


def _wait(url: str, load: Load, said: str) -> None:
    until = time.monotonic() + 60
    while "refused" not in (detail := httpx.get(f"{url}/v2/health/ready").json()) and time.monotonic() < until:
        time.sleep(0.05)
    assert "digits/2 is refused, digits/1 stays" in detail["refused"]
    assert said in detail["refused"]
    assert detail["ready"]
    before = len(load.answered)
    load.wait_for(before + 20)
    assert set(load.answered.values()) == {1}
