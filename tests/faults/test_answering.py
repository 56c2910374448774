"""A server that is told to answer although its log fails: it does, says so, counts it, and logs again when it can."""

from __future__ import annotations

import errno
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.serve.bundles import picture
from tidemill.journal.read import Journal
from tidemill.project.layout import Layout

from .disk import Disk

pytestmark = pytest.mark.slow


@pytest.fixture
def url(disk: Disk, layout: Layout) -> Iterator[str]:
    command = ["serve", "digits@champion", "--port", "0", "--when-log-fails", "answer"]
    server = subprocess.Popen(
        [sys.executable, "-m", "tidemill", *command], cwd=layout.root, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    yield server.stdout.readline().split()[3]
    disk.set()
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=60)
    assert server.returncode == 0


def _ask(url: str) -> str:
    answer = httpx.post(
        f"{url}/v1/models/digits:predict", content=picture(1), headers={"content-type": "image/png"}, timeout=30
    )
    assert answer.status_code == 200
    id: str = answer.json()["predictions"][0]["id"]
    return id


def _unlogged(url: str) -> float:
    found = re.search(r"^tidemill_log_write_failures_total (\S+)$", httpx.get(f"{url}/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


def test_a_log_that_fails_is_done_without(disk: Disk, url: str, layout: Layout) -> None:
    first = _ask(url)
    disk.set(write_error=errno.EIO)
    lost = [_ask(url) for _ in range(3)]
    detail = httpx.get(f"{url}/v2/health/ready")
    assert (detail.status_code, detail.json()["log"]) == (
        200,
        "predictions cannot be logged, and are answered all the same",
    )
    assert _unlogged(url) == 3
    disk.set()
    last = _ask(url)
    logged = Journal(layout.log).predictions()["id"].to_pylist()
    assert logged == [first, last]
    assert not set(lost) & set(logged)


def test_a_log_that_stands_still_is_done_without(disk: Disk, url: str, layout: Layout) -> None:
    disk.set(sync=3600)
    first = _ask(url)
    time.sleep(2.5)
    disk.set(write=3600, sync=3600)
    _ask(url)  # waits for it, in vain
    began = time.monotonic()
    lost = [_ask(url) for _ in range(20)]
    assert time.monotonic() - began < 5
    assert _unlogged(url) == 21
    disk.set()
    until = time.monotonic() + 30
    while (last := _ask(url)) not in Journal(layout.log).predictions()["id"].to_pylist():
        assert time.monotonic() < until
        time.sleep(0.2)
    logged = Journal(layout.log).predictions()["id"].to_pylist()
    assert {first, last} <= set(logged)
    assert not set(lost) & set(logged)
