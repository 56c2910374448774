"""The page's process: one, replaced when it dies, gone with its server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.serve.gradio.conftest import Served, eventually, serving
from tests.serve.gradio.visitor import Visitor

pytestmark = pytest.mark.slow


def predicts(served: Served) -> bool:
    answer = httpx.post(f"{served.url}/v1/models/mood:predict", json={"inputs": ["good"]})
    return answer.status_code == 200


def test_the_server_answers_before_the_page_is_there(made: Path, tmp_path: Path) -> None:
    with serving([made / "txt"], tmp_path) as served:
        starting = httpx.get(f"{served.url}/ui/")
        assert starting.status_code == 503
        assert starting.headers["retry-after"] == "2"
        assert "The page is starting" in starting.text
        assert 'http-equiv="refresh"' in starting.text
        assert httpx.get(f"{served.url}/ui/config").json()["error"]["message"] == "the page is starting"
        assert predicts(served)
        served.wait_for_page()


def test_a_page_that_is_killed_is_replaced_while_models_answer(made: Path, tmp_path: Path) -> None:
    with serving([made / "txt"], tmp_path) as served:
        served.wait_for_page()
        (first,) = served.page_processes()
        os.kill(first, signal.SIGKILL)
        assert predicts(served)
        eventually(lambda: served.page_processes() not in ([], [first]))
        served.wait_for_page()
        with served.client() as client:
            visitor = Visitor(client)
            visitor.open()
            visitor.fire("Sentence", "submit", "good")
            assert visitor.says("Answer")["label"] == "good"
        assert f"the page's process {first} ended with -9, and is replaced" in (tmp_path / "errors").read_text()


def test_several_workers_have_one_page(made: Path, tmp_path: Path) -> None:
    with serving([made / "txt"], tmp_path, "--ui", "gradio", "--workers", "2") as served:
        served.wait_for_page()
        assert len(served.page_processes()) == 1
        for _ in range(6):  # each on a connection of its own, which either may take
            with served.client() as client:
                visitor = Visitor(client)
                visitor.open()
                visitor.fire("Sentence", "submit", "good")
                assert visitor.says("Answer")["label"] == "good"
        served.process.terminate()
        assert served.process.wait(timeout=30) == 0
        assert served.page_processes() == []


def test_nothing_is_left_when_the_server_stops_while_a_page_is_open(made: Path, tmp_path: Path) -> None:
    with serving([made / "img"], tmp_path) as served:
        served.wait_for_page()
        with served.client() as client, client.stream("GET", "/ui/gradio_api/heartbeat/abc") as stream:
            assert stream.status_code == 200
            visitor = Visitor(client)
            visitor.upload("x.png", b"x" * 1000)
            (folder,) = served.page_folders()
            assert folder.stat().st_mode & 0o777 == 0o700
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(timeout=20) == 0
        assert served.page_processes() == []
        assert served.page_folders() == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nothing_is_left_when_the_server_is_killed(made: Path, tmp_path: Path, workers: str) -> None:
    with serving([made / "txt"], tmp_path, "--ui", "gradio", "--workers", workers) as served:
        served.wait_for_page()
        served.process.kill()
        eventually(lambda: served.page_processes() == [] and served.page_folders() == [])


def test_a_server_that_is_killed_while_its_page_starts_leaves_nothing(made: Path, tmp_path: Path) -> None:
    with serving([made / "txt"], tmp_path) as served:
        eventually(served.page_processes)
        served.process.kill()
        eventually(lambda: served.page_processes() == [] and served.page_folders() == [])


def test_the_pages_process_is_given_no_variable_that_may_be_secret(made: Path, tmp_path: Path) -> None:
    secret = {
        "AWS_SECRET_ACCESS_KEY": "a-secret", "MLFLOW_TRACKING_PASSWORD": "a-secret", "PGPASSWORD": "a-secret",
        "TIDEMILL_TOKEN_OF_TOMORROW": "a-secret", "HF_TOKEN": "a-secret", "GRADIO_ROOT_PATH": "/a-secret",
    }  # fmt: skip
    with serving([made / "txt"], tmp_path, cwd=tmp_path, **secret) as served:
        served.wait_for_page()
        (pid,) = served.page_processes()
        given = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"PATH=" in given
        assert b"a-secret" not in given


def test_nothing_is_written_where_the_server_was_started(made: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with serving([made / "txt"], tmp_path, cwd=place) as served:
        served.wait_for_page()
        with served.client() as client:
            visitor = Visitor(client)
            visitor.open()
            visitor.fire("Sentence", "submit", "good")
    assert list(place.iterdir()) == []


def test_without_gradio_the_command_says_what_to_install(made: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "run.py"
    blocked.write_text(
        "import importlib.util as u, sys\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'gradio' else find(name, package)\n"
        "from tidemill.cli import entry\n"
        "sys.exit(entry())\n"
    )
    done = subprocess.run(
        [sys.executable, str(blocked), "serve", str(made / "txt"), "--ui", "gradio", "--port", "0"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "pip install 'tidemill[gradio]'" in done.stderr
    assert "ready" not in done.stdout


def test_no_page_is_there_where_none_is_wanted(made: Path, tmp_path: Path) -> None:
    with serving([made / "txt"], tmp_path, "--ui", "none") as served:
        assert httpx.get(f"{served.url}/ui").status_code == 404
        assert httpx.get(f"{served.url}/ui/").status_code == 404
        assert predicts(served)
