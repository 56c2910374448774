"""The server as the process that people run."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tidemill.errors import TidemillError
from tidemill.journal.read import Journal
from tidemill.project.layout import Layout
from tidemill.project.serving import running_servers, start_server

from .bundles import ROW, picture
from .load import Load

_STARTER = """
import os, pathlib, sys
from tidemill.project.layout import Layout
from tidemill.project.serving import start_server
print(start_server(Layout(pathlib.Path(sys.argv[1])), "digits@champion").pid, flush=True)
os._exit(9)
"""


def _command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidemill", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_server_starts_answers_seals_its_log_and_ends_with_0(layout: Layout) -> None:
    with start_server(layout, "digits@champion") as server:
        (record,) = running_servers(layout)
        assert (record.pid, record.url, record.model) == (server.pid, server.url, "digits/1")
        answer = httpx.post(f"{server.url}/v1/models/digits:predict", files={"file": picture(1)})
        prediction_id = answer.json()["predictions"][0]["id"]
        assert Journal(layout.log).find(prediction_id).version == 1
        assert server.stop() == 0

    assert running_servers(layout) == []
    assert not list((layout.log / "spool").iterdir())
    assert Journal(layout.log).find(prediction_id).input == picture(1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
def test_a_server_whose_messages_nobody_takes_answers_and_ends(layout: Layout) -> None:
    command = [sys.executable, "-m", "tidemill", "serve", "digits@champion", "--port", "0", "--access-log"]
    with (
        open("/dev/full", "w") as full,
        subprocess.Popen(command, cwd=layout.root, stdout=subprocess.PIPE, stderr=full, text=True) as server,
    ):
        assert server.stdout is not None
        url = server.stdout.readline().split()[3]
        for _ in range(3):
            asked = httpx.post(f"{url}/v1/models/digits:predict", files={"file": picture(1)}, timeout=10)
            assert asked.status_code == 200
        assert httpx.get(f"{url}/v2", timeout=10).status_code == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_a_bundle_is_served_without_a_project(made: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tidemill", "serve", str(made / "tab"), "--port", "0", "--access-log"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = process.stdout.readline()
    url = ready.split()[3]

    answer = httpx.post(f"{url}/v1/models/sizes:predict", json={"inputs": [ROW]})
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)

    assert ready == f"ready: sizes/0 at {url}  docs: {url}/docs\n"
    assert answer.json()["version"] == 0
    assert process.returncode == 0
    assert '"path": "/v1/models/sizes:predict", "status": 200' in said
    assert "Traceback" not in said
    assert Journal(tmp_path / "tidemill-log").predictions().num_rows == 1


def test_a_bundle_served_inside_a_project_does_not_write_the_projects_log(made: Path, layout: Layout) -> None:
    command = [sys.executable, "-m", "tidemill", "serve", str(made / "tab"), "--port", "0"]
    process = subprocess.Popen(command, cwd=layout.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().split()[3]

    httpx.post(f"{url}/v1/models/sizes:predict", json={"inputs": [ROW]})
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    assert Journal(layout.root / "tidemill-log").predictions().num_rows == 1
    assert not layout.log.exists()


def test_the_file_of_a_dead_server_is_ignored(layout: Layout) -> None:
    server = start_server(layout, "digits@champion")
    os.kill(server.pid, signal.SIGKILL)
    server.stop()

    assert list(layout.servers.iterdir())
    assert running_servers(layout) == []


def test_a_server_ends_with_the_process_that_started_it(layout: Layout) -> None:
    command = [sys.executable, "-c", _STARTER, str(layout.root)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    pid = int(done.stdout)

    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not Path(f"/proc/{pid}").exists()
    assert list(layout.servers.iterdir()) == []


def test_a_stop_under_load_answers_all_that_was_asked(layout: Layout) -> None:
    server = start_server(layout, "digits@champion")
    with Load(server.url, clients=6) as load:
        load.wait_for(100)
        assert server.stop() == 0
        load.stop()

    assert load.failed == []
    logged = Journal(layout.log).predictions()["id"].to_pylist()
    assert sorted(logged) == sorted(load.answered)


def test_a_client_that_is_idle_while_the_server_stops_is_answered_once_more(layout: Layout) -> None:
    with start_server(layout, "digits@champion") as server:
        host, port = server.url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        connection.request("GET", "/v2/health/ready")
        assert connection.getresponse().read().startswith(b'{"ready":true')
        os.kill(server.pid, signal.SIGTERM)
        while _listens(host, int(port)):
            time.sleep(0.01)

        connection.request("POST", "/v1/models/digits:predict", picture(1), {"Content-Type": "image/png"})
        answer = connection.getresponse()

        assert (answer.status, answer.getheader("Connection")) == (200, "close")
        connection.close()
        assert server.stop() == 0


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["digits@champion", "--port", "{taken}"], 1, "port {taken} of 127.0.0.1 is in use"),
        (["digits@champion", "--host", "0.0.0.0"], 2, "a token is needed"),  # noqa: S104 - it refuses to
        (["digits@champion", "--host", "no.such.host.invalid"], 2, "no.such.host.invalid"),
        (["digits@champion", "--host", "192.0.2.1", "--token-file", "token"], 2, "192.0.2.1"),
        (["digits@champion", "--token-file", "nowhere"], 2, "nowhere"),
        (["digits@champion", "--token-file", "short"], 2, "16 characters"),
        (["digits@champion", "--port", "70000"], 2, "70000"),
    ],
)
def test_what_is_wrong_is_said_at_once(layout: Layout, arguments: list[str], code: int, said: str) -> None:
    (layout.root / "token").write_text("a-token-of-enough-length\n")
    (layout.root / "short").write_text("short")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = _command("serve", *[each.replace("{taken}", port) for each in arguments], cwd=layout.root)

    assert (done.returncode, done.stdout) == (code, "")
    assert said.replace("{taken}", port) in done.stderr
    assert "Traceback" not in done.stderr
    assert not layout.log.exists()


def test_models_of_the_project_beside_a_bundle_need_a_log_to_be_named(layout: Layout, made: Path) -> None:
    done = _command("serve", "digits@champion", str(made / "tab"), "--port", "0", cwd=layout.root)

    assert (done.returncode, done.stdout) == (2, "")
    assert "digits is logged in the project" in done.stderr
    assert f"--log {layout.log}" in done.stderr


def test_two_that_requests_could_not_tell_apart_are_refused(layout: Layout, made: Path) -> None:
    digits = str(next(layout.bundles.iterdir()))
    for twins, said in (
        (["digits@champion", "digits@champion"], "both digits/1"),
        ([digits, str(made / "tab"), digits], "both digits/0"),
    ):
        done = _command("serve", *twins, "--port", "0", cwd=layout.root)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_outside_a_project_a_model_needs_a_bundle(tmp_path: Path) -> None:
    for model in ("digits@champion", "nowhere", "."):
        done = _command("serve", model, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")


def test_a_token_from_the_environment(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_TOKEN", "a-token-of-enough-length")
    with start_server(layout, "digits@champion") as server:
        headers = {"Authorization": "Bearer a-token-of-enough-length"}
        assert httpx.get(f"{server.url}/metrics").status_code == 401
        assert httpx.get(f"{server.url}/metrics", headers=headers).status_code == 200


def test_a_server_that_cannot_start_says_why(layout: Layout) -> None:
    with pytest.raises(TidemillError, match="is in use"), socket.create_server(("127.0.0.1", 0)) as taken:
        start_server(layout, "digits@champion", port=taken.getsockname()[1])
