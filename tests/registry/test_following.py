"""What is changed in MLflow, as its UI does it, takes effect in running servers without any command."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.registry.conftest import AGAIN, GOOD, NAME, POOR
from tests.registry.test_models import check_manifest, manifest
from tests.tracking.conftest import postgres
from tests.tracking.servers import MlflowServer, Postgres
from tidemill.project import following, models, serving
from tidemill.project.database import ensure_database
from tidemill.project.glancing import SqliteGlance, glance_of
from tidemill.project.glancing_http import HttpGlance
from tidemill.project.layout import Layout
from tidemill.project.serving import RunningServer

__all__ = ["postgres"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning"),  # MLflow's import warns of its own types
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]


def _wait_for(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline, "it did not happen within 30 s"
        time.sleep(0.05)


def _serves(server: RunningServer, number: int) -> bool:
    """Whether each of some requests in a row, which several workers take, is answered with this version."""
    return {_served(server.url) for _ in range(6)} == {number}


def _served(url: str) -> int:
    with urllib.request.urlopen(f"{url}/v2/models/{NAME}", timeout=10) as answer:  # noqa: S310 - started here
        return max(int(version) for version in json.load(answer)["versions"])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_running_server_answers_with_the_version_that_was_chosen_there(
    project: Layout, client: Any, workers: int
) -> None:
    with serving.start_server(project, f"{NAME}@champion", workers=workers) as server:
        assert _served(server.url) == GOOD
        for number in (AGAIN, POOR, GOOD):
            client.set_registered_model_alias(NAME, "champion", str(number))
            _wait_for(partial(_serves, server, number))
        client.delete_registered_model_alias(NAME, "champion")
        _wait_for(lambda: manifest(project) is None)
        assert _served(server.url) == GOOD, "what serves goes on"
    kinds = [event.kind for event in models.ledger(project).events(NAME)]
    assert kinds[-4:] == ["aliased"] * 4
    assert all(check.held for check in models.verify(project))


def test_what_was_changed_before_is_seen_at_the_start(project: Layout, client: Any) -> None:
    client.set_registered_model_alias(NAME, "champion", str(AGAIN))
    with following.following(project, [project.serving / NAME / "champion.json"]):
        _wait_for(lambda: (found := manifest(project)) is not None and found.version == AGAIN)
    check_manifest(project, AGAIN)


def test_looking_costs_neither_mlflow_nor_sqlalchemy(project: Layout, client: Any) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tidemill.project.following import following\n"
        "from tidemill.project.layout import Layout\n"
        f"layout = Layout(Path({str(project.root)!r}))\n"
        f"with following(layout, [layout.serving / {NAME!r} / 'champion.json']): time.sleep(2.5)\n"
        "print([name for name in ('mlflow', 'sqlalchemy', 'psycopg') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_an_alias_or_a_project_nothing_is_looked_at(project: Layout) -> None:
    before = threading.active_count()
    with following.following(project, []), following.following(None, [Path("champion.json")]):
        assert threading.active_count() == before


def test_a_registry_that_cannot_be_read_is_told_of_once_and_seen_again(
    project: Layout, client: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(following, "_PAUSES", (0.02,) * 4)
    hidden = project.database.with_name("hidden.db")
    project.database.rename(hidden)
    said = ""
    with following.following(project, [project.serving / NAME / "champion.json"]):
        while "not followed" not in said:
            said += capsys.readouterr().err
            time.sleep(0.01)
        time.sleep(0.3)
        said += capsys.readouterr().err
        hidden.rename(project.database)
        client.set_registered_model_alias(NAME, "champion", str(AGAIN))
        _wait_for(lambda: (found := manifest(project)) is not None and found.version == AGAIN)
    assert said.count("not followed") == 1 and "Traceback" not in said


def test_an_unchanged_database_is_not_opened(project: Layout, client: Any) -> None:
    glance = SqliteGlance(project.database)
    assert glance.look([NAME, "none"]) == {NAME: {"champion": GOOD, "challenger": AGAIN}, "none": {}}
    _wait_for(lambda: glance.look([NAME]) and glance._stamp)
    glance._rows = []
    assert glance.look([NAME]) == {NAME: {}}
    client.set_registered_model_alias(NAME, "champion", str(POOR))
    assert glance.look([NAME])[NAME]["champion"] == POOR


class _Registry(http.server.BaseHTTPRequestHandler):
    """The one address of MLflow's API, behind a password, or one that leads elsewhere."""

    heard: list[str | None] = []

    def do_GET(self) -> None:
        self.heard.append(self.headers["Authorization"])
        if "elsewhere" in self.path:
            self.send_response(302)
            self.send_header("Location", f"http://{self.headers['Host']}/stolen")
            self.end_headers()
            return
        aliases = [{"alias": "champion", "version": "3"}, {"alias": "other", "version": "1"}]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"registered_model": {"name": "x", "aliases": aliases}}).encode())

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def registry() -> Iterator[str]:
    _Registry.heard = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_server_gets_the_password_and_nobody_that_it_names(registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HttpGlance(f"http://me:secret@{registry}").look(["x"]) == {"x": {"champion": 3}}
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-token")
    assert HttpGlance(f"http://{registry}/").look(["x"]) == {"x": {"champion": 3}}
    assert _Registry.heard == ["Basic bWU6c2VjcmV0", "Bearer a-token"]
    with pytest.raises(OSError, match="302"):
        HttpGlance(f"http://{registry}").look(["elsewhere"])
    assert len(_Registry.heard) == 3


def _register(uri: str) -> None:
    """A version needs a source that the server allows: that of a run."""
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    run = client.create_run("0").info
    client.create_registered_model(NAME)
    client.create_model_version(NAME, source=f"runs:/{run.run_id}/model", run_id=run.run_id)
    client.set_registered_model_alias(NAME, "champion", "1")


@pytest.mark.slow
def test_a_tracking_server_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = MlflowServer(tmp_path / "server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    server.start()
    try:
        _register(server.uri)
        glance = glance_of(Layout(tmp_path))
        assert isinstance(glance, HttpGlance)
        assert glance.look([NAME, "none"]) == {NAME: {"champion": 1}, "none": {}}
    finally:
        server.kill()


@pytest.mark.slow
def test_postgres_is_asked_and_asked_again_after_it_was_away(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres.uri)
    layout = Layout(tmp_path)
    _register(ensure_database(layout))
    glance = glance_of(layout)
    assert glance is not None
    assert glance.look([NAME, "none"]) == {NAME: {"champion": 1}, "none": {}}
    glance.close()
    assert glance.look([NAME]) == {NAME: {"champion": 1}}
    glance.close()
