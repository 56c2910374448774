"""The server on a disk that is slow, stands still, or fails: it says so, answers nothing unlogged, and recovers."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serve.bundles import picture
from tidemill.journal.read import Journal
from tidemill.project.layout import Layout
from tidemill.project.serving import RunningServer, start_server

from .disk import Disk
from .load import Load, unlogged

PREDICT = "/v1/models/digits:predict"


@pytest.fixture
def server(disk: Disk, layout: Layout) -> Iterator[RunningServer]:
    """A server whose log is on it."""
    with start_server(layout, "digits@champion") as server:
        yield server
        disk.set()


def _post(server: RunningServer, number: int = 1) -> httpx.Response:
    return httpx.post(server.url + PREDICT, content=picture(number), headers={"content-type": "image/png"}, timeout=30)


def _stall(disk: Disk, server: RunningServer) -> str:
    """As disks do: what is to be on them comes to no end, and soon nothing more is taken. The last prediction's id."""
    disk.set(sync=3600)
    last: str = _post(server).json()["predictions"][0]["id"]
    time.sleep(2.5)  # a sync begins each second
    disk.set(write=3600, sync=3600)
    return last


def _ready(server: RunningServer, wanted: bool) -> dict[str, object]:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        detail: dict[str, object] = httpx.get(f"{server.url}/v2/health/ready", timeout=10).json()
        if detail["ready"] is wanted:
            return detail
        time.sleep(0.1)
    raise AssertionError(f"ready is not {wanted}: {detail}")


@pytest.mark.slow
def test_a_slow_disk_under_load_delays_answers_and_loses_none(
    disk: Disk, server: RunningServer, layout: Layout, tmp_path: Path
) -> None:
    with Load(server.url, tmp_path / "answers") as load:
        load.wait_for(50)
        disk.set(write=0.3, sync=2.0)
        load.wait_for(len(load.answers()) + 50)
        assert httpx.get(f"{server.url}/v2/health/ready", timeout=5).json()["ready"] is True
        disk.set()
        load.wait_for(len(load.answers()) + 200)
        heard = load.stop()
    assert heard.failures == []
    assert server.stop() == 0
    assert unlogged(heard.answers, layout.log) == (0, 0, 0)


@pytest.mark.slow
def test_a_disk_that_stands_still_is_said_and_nobody_waits_for_ever(
    disk: Disk, server: RunningServer, layout: Layout, tmp_path: Path
) -> None:
    with Load(server.url, tmp_path / "answers") as load:
        load.wait_for(50)
        _stall(disk, server)
        detail = _ready(server, False)
        assert detail["log"] == "predictions cannot be logged, so none is answered"
        for _ in range(3):
            time.sleep(1)
            began = time.monotonic()
            answer = _post(server)
            assert answer.status_code == 507
            assert answer.headers["retry-after"]
            assert time.monotonic() - began < 10
        assert httpx.get(f"{server.url}/v2/health/live", timeout=5).status_code == 200
        disk.set()
        _ready(server, True)
        load.wait_for(len(load.answers()) + 100)
        heard = load.stop()
    assert heard.dropped == []
    assert set(heard.bad) == {"507"}
    assert server.stop() == 0
    missing, twice, _ = unlogged(heard.answers, layout.log)
    assert (missing, twice) == (0, 0)


@pytest.mark.slow
def test_labels_for_a_log_that_stands_still_are_refused(disk: Disk, server: RunningServer, layout: Layout) -> None:
    id = _stall(disk, server)

    def send(label: str) -> int:
        document = {"prediction_id": id, "label": label}
        return httpx.post(f"{server.url}/feedback", json=document, timeout=50).status_code

    assert send("1") == 507
    assert _post(server).status_code == 507
    disk.set()
    assert send("2") == 200
    assert Journal(layout.log).labels([id])[id].label == "2"


@pytest.mark.slow
def test_a_server_whose_log_stands_still_ends_all_the_same(disk: Disk, server: RunningServer, layout: Layout) -> None:
    last = _stall(disk, server)
    assert _post(server).status_code == 507

    began = time.monotonic()
    code = server.stop()

    assert time.monotonic() - began < 30
    assert code == 1
    assert "the prediction log" in server.said
    disk.set()
    assert Journal(layout.log).predictions()["id"].to_pylist() == [last]


def test_a_disk_that_fails_every_write_is_said_and_survived(disk: Disk, server: RunningServer, layout: Layout) -> None:
    first = _post(server).json()["predictions"][0]["id"]
    disk.set(write_error=errno.EIO)
    assert {_post(server).status_code for _ in range(3)} == {507}
    _ready(server, False)
    disk.set()
    last = _post(server).json()["predictions"][0]["id"]
    assert Journal(layout.log).predictions()["id"].to_pylist() == [first, last]
    assert server.stop() == 0
    assert Journal(layout.log).predictions()["id"].to_pylist() == [first, last]


@pytest.mark.slow
def test_what_cannot_be_synced_is_not_called_sealed(
    disk: Disk, server: RunningServer, layout: Layout, tmp_path: Path
) -> None:
    with Load(server.url, tmp_path / "answers") as load:
        load.wait_for(50)
        disk.set(sync_error=errno.EIO)
        time.sleep(2.5)
        load.wait_for(len(load.answers()) + 50)
        heard = load.stop()
    assert heard.failures == []
    assert server.stop() == 0  # the spools stay, and count
    assert not list((layout.log / "predictions").glob("*.parquet"))
    assert len(list((layout.log / "spool").glob("*.spool"))) > 1
    assert unlogged(heard.answers, layout.log) == (0, 0, 0)
    disk.set()
    with start_server(layout, "digits@champion"):
        pass
    assert not list((layout.log / "spool").glob("*.spool"))
    assert unlogged(heard.answers, layout.log) == (0, 0, 0)
