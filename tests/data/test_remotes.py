"""Remotes: S3 as moto's server speaks it, behind a network that fails; and what a folder holds for plain DVC."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill.project import data
from tidemill.project.layout import Layout

from .conftest import Projects, git
from .proxy import Weather, proxy

pytestmark = pytest.mark.slow
pytest.importorskip("dvc_s3", reason="needs the extra s3")

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an S3 server."""
    pytest.importorskip("moto", reason="needs moto[server]")
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, cwd=tmp_path_factory.mktemp("s3"),
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdin is not None
        line = next(line for line in process.stdout if line.strip().isdigit())
        yield int(line)
        process.stdin.close()
        process.wait(20)


def environment() -> dict[str, str]:
    return os.environ | {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_DEFAULT_REGION": "us-east-1"}


def run(layout: Layout, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=layout.root, capture_output=True, text=True, env=environment()
    )


def make_bucket(port: int, name: str) -> None:
    script = "import boto3, sys; boto3.client('s3', endpoint_url=sys.argv[1]).create_bucket(Bucket=sys.argv[2])"
    subprocess.run([sys.executable, "-c", script, f"http://127.0.0.1:{port}", name], env=environment(), check=True)


@pytest.fixture
def layout(project: Projects, tmp_path: Path) -> Layout:
    layout = project("tabular")
    chance = random.Random(0)
    rows = "".join(f"{chance.random()},{chance.random()},{'yn'[row % 2]}\n" for row in range(5_000))
    (tmp_path / "t.csv").write_text("a,b,target\n" + rows)
    data.add(layout, tmp_path / "t.csv", name="things")
    return layout


def name_remote(layout: Layout, bucket: str, port: int) -> None:
    for command in (
        ("remote", "add", "-q", "-f", "-d", "storage", f"s3://{bucket}/data"),
        ("remote", "modify", "-q", "storage", "endpointurl", f"http://127.0.0.1:{port}"),
    ):
        done = run(layout, "dvc", *command)
        assert done.returncode == 0, done.stderr
    git(layout, "commit", "-q", "-a", "-m", "Name a remote")


def test_s3_compatible_storage_serves_us_and_plain_dvc(layout: Layout, s3: int, tmp_path: Path) -> None:
    make_bucket(s3, "plain")
    name_remote(layout, "plain", s3)
    pushed = run(layout, "tidemill", "data", "push")
    assert pushed.returncode == 0, pushed.stderr
    for clone, command in (("ours", ("tidemill", "data", "pull")), ("theirs", ("dvc", "pull", "-q"))):
        git(layout, "clone", "-q", str(layout.root), str(tmp_path / clone))
        there = Layout(tmp_path / clone)
        done = run(there, *command)
        assert done.returncode == 0, done.stderr
        assert data.open_version(there, "things").version == data.find(layout, "1.0.0")


@pytest.mark.parametrize("fault", ["busy", "reset", "slow"])
def test_s3_that_fails_for_a_while_is_asked_again(layout: Layout, s3: int, tmp_path: Path, fault: str) -> None:
    weather = Weather()
    make_bucket(s3, f"weather-{fault}")
    with proxy(s3, weather) as port:
        name_remote(layout, f"weather-{fault}", port)
        weather.faults = [fault] * 3
        pushed = run(layout, "tidemill", "data", "push")
        assert pushed.returncode == 0, pushed.stderr
        assert weather.seen.count(fault) == 3
        git(layout, "clone", "-q", str(layout.root), str(tmp_path / "clone"))
        there = Layout(tmp_path / "clone")
        weather.faults = [fault] * 3
        pulled = run(there, "tidemill", "data", "pull")
        assert pulled.returncode == 0, pulled.stderr
    assert data.open_version(there, "things").version == data.find(layout, "1.0.0")


def test_s3_that_stays_away_is_one_error_and_leaves_no_half_artefact(layout: Layout, s3: int, tmp_path: Path) -> None:
    weather = Weather()
    make_bucket(s3, "away")
    with proxy(s3, weather) as port:
        name_remote(layout, "away", port)
        assert run(layout, "tidemill", "data", "push").returncode == 0
        git(layout, "clone", "-q", str(layout.root), str(tmp_path / "clone"))
        there = Layout(tmp_path / "clone")
        weather.faults = ["reset"] * 200
        pulled = run(there, "tidemill", "data", "pull")
        assert pulled.returncode == 1
        assert "Traceback" not in pulled.stderr and "error: " in pulled.stderr
        assert not (there.data / "things").exists()
        weather.faults = []
        assert run(there, "tidemill", "data", "pull").returncode == 0
    assert data.open_version(there, "things").version == data.find(layout, "1.0.0")
