"""A full disk is said, nothing is answered that is not in the log, and it is survived."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tidemill.journal.read import Journal
from tidemill.project.layout import Layout
from tidemill.project.serving import start_server

from .bundles import picture


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system, as root in a container with CAP_SYS_ADMIN has")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_said_and_survived(layout: Layout, small_disk: Path) -> None:
    layout.log.symlink_to(small_disk)
    ballast = small_disk / "ballast"
    with start_server(layout, "digits@champion") as server:
        path = f"{server.url}/v1/models/digits:predict"
        first = httpx.post(path, files={"file": picture(1)}).json()["predictions"][0]["id"]
        _fill(ballast)

        statuses = set()
        for number in range(5):
            answer = httpx.post(path, content=picture(number, 100), headers={"content-type": "image/png"})
            statuses.add(answer.status_code)
        detail = httpx.get(f"{server.url}/v2/health/ready")
        metrics = httpx.get(f"{server.url}/metrics").text

        assert statuses == {507}
        assert "disk is full" in answer.json()["error"]["message"]
        assert str(small_disk) not in answer.text
        assert detail.status_code == 503
        assert "log" in detail.json()
        assert "tidemill_log_write_failures_total 5.0" in metrics
        ballast.unlink()
        last = httpx.post(path, files={"file": picture(2)}).json()["predictions"][0]["id"]
        assert Journal(layout.log).predictions()["id"].to_pylist() == [first, last]
        assert server.stop() == 0

    assert Journal(layout.log).predictions()["id"].to_pylist() == [first, last]


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return
