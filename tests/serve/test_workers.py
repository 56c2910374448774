"""Several processes behind one port."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tidemill.journal.read import Journal
from tidemill.project.layout import Layout
from tidemill.project.serving import running_servers, start_server

from . import bundles
from .bundles import picture
from .conftest import store
from .load import Load


def workers_of(parent: int) -> list[int]:
    """The processes that a server started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(path.parent.name))
    return sorted(found)


def counted(url: str, name: str) -> float:
    """The sum of a counter's series, when the workers have told one another."""
    time.sleep(1.5)
    text = httpx.get(f"{url}/metrics").text
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.MULTILINE))


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_no_answer_is_lost(layout: Layout) -> None:
    with start_server(layout, "digits@champion", workers=2) as server:
        (record,) = running_servers(layout)
        assert (record.pid, record.model) == (server.pid, "digits/1")
        first = workers_of(server.pid)
        assert len(first) == 2
        with Load(server.url, clients=4) as load:
            load.wait_for(40)
            os.kill(first[0], signal.SIGKILL)
            for _ in range(20):  # the port never closes: each is a connection of its own
                assert httpx.get(f"{server.url}/v2/health/live").status_code == 200
            load.stop()
        until = time.monotonic() + 60
        while len(workers_of(server.pid)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert first[0] not in workers_of(server.pid)
        with Load(server.url, clients=4) as again:
            again.wait_for(40)
            again.stop()
        assert again.failed == []
        seen = counted(server.url, "tidemill_predictions_total")
        assert seen >= len(again.answered)
        assert server.stop() == 0
    logged = Journal(layout.log).predictions()["id"].to_pylist()
    assert len(logged) == len(set(logged))
    assert set(load.answered) | set(again.answered) <= set(logged)
    assert running_servers(layout) == []


@pytest.mark.slow
def test_a_promotion_reaches_every_worker_under_load(layout: Layout) -> None:
    with start_server(layout, "digits@champion", workers=2) as server, Load(server.url, clients=6) as load:
        load.wait_for(50)
        bundles.publish(layout.serving, store(layout, seed=2), 2)
        load.wait_for(100, version=2)
        time.sleep(1.0)
        before = dict(load.answered)
        load.wait_for(len(before) + 100)
        load.stop()
    assert load.failed == []
    assert {version for each, version in load.answered.items() if each not in before} == {2}


def test_a_server_of_several_that_cannot_start_says_why(layout: Layout) -> None:
    bundle = next(layout.bundles.iterdir())
    (bundle / "model.onnx").write_bytes(b"none")
    done = subprocess.run(
        [sys.executable, "-m", "tidemill", "serve", "digits@champion", "--port", "0", "--workers", "2"],
        cwd=layout.root, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "model.onnx" in done.stderr
    assert "a worker of the server did not start" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_picture_by_several_workers(layout: Layout) -> None:
    with start_server(layout, "digits@champion", workers=2) as server:
        answer = httpx.post(f"{server.url}/v1/models/digits:predict", files={"file": picture(1)})
        assert Journal(layout.log).find(answer.json()["predictions"][0]["id"]).version == 1
        pid = server.pid
        assert server.stop() == 0
    assert workers_of(pid) == []


def sockets_of(pid: int) -> int:
    found = 0
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += os.readlink(path).startswith("socket:")
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_connections_that_come_at_once_are_shared(layout: Layout) -> None:
    """One worker took nearly all of them where each takes all that wait."""
    with start_server(layout, "digits@champion", workers=2) as server, ExitStack() as opened:
        workers = workers_of(server.pid)
        before = {worker: sockets_of(worker) for worker in workers}
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        for turn in range(64):
            opened.enter_context(socket.create_connection(address))
            if turn % 8 == 7:
                time.sleep(0.1)  # on a busy machine one of them may be asleep for a moment
        until = time.monotonic() + 20
        while time.monotonic() < until:
            taken = [sockets_of(worker) - before[worker] for worker in workers]
            if sum(taken) == 64:
                break
            time.sleep(0.05)
        assert sum(taken) == 64
        assert min(taken) >= 4, taken
