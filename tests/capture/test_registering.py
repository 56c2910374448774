"""`tidemill run --register` with a real tracking server, and with one that goes away."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.capture.conftest import TIDEMILL, Folder
from tests.tracking.servers import MlflowServer
from tidemill.domain.digest import Digest

CONTENT = "open('m.pkl', 'wb').write(b'model' * 1000)\n"


@pytest.fixture
def server(tmp_path: Path, folder: Folder) -> Iterator[MlflowServer]:
    found = MlflowServer(tmp_path / "server")
    found.start()
    folder.environment["MLFLOW_TRACKING_URI"] = found.uri
    yield found
    found.kill()


def registered(server: MlflowServer) -> list[str]:
    with closing(sqlite3.connect(server.folder / "server.db")) as connection:
        return [str(name) for (name,) in connection.execute("SELECT name FROM registered_models")]


def test_the_server_has_the_file_and_its_version(folder: Folder, server: MlflowServer, tmp_path: Path) -> None:
    folder.write("train.py", CONTENT)
    folder.write("pack.py", "import os\nos.mkdir('out')\nopen('out/MLmodel', 'w').write('flavors: {}')\n"
                            "open('out/data.bin', 'w').write('1')")  # fmt: skip
    for script, said in (("train.py", b"registered m.pkl as churn/1"), ("pack.py", b"registered out as churn/2")):
        done = folder.python(script, options=("--register", "churn"))
        assert done.returncode == 0, done.stderr.decode()
        assert said in done.stderr
    client = MlflowClient(server.uri, server.uri)
    version = client.get_model_version("churn", "1")
    fetched = Path(client.download_artifacts(str(version.run_id), "model/m.pkl", str(tmp_path)))
    assert fetched.read_bytes() == b"model" * 1000
    assert version.tags["tidemill.digest"] == str(Digest.of_file(fetched))
    assert version.source == f"runs:/{version.run_id}/model/m.pkl"
    pack = client.get_model_version("churn", "2")
    assert {each.path for each in client.list_artifacts(str(pack.run_id), "model/out")} == {
        "model/out/MLmodel", "model/out/data.bin",
    }  # fmt: skip
    assert not [each for each in (folder.path / ".tidemill/spool").glob("*") if each.is_dir()]


def meanwhile(folder: Folder, act: Callable[[], None]) -> tuple[int, str]:
    """The exit code and the errors of a run with --register, during whose script `act` was done."""
    folder.write("train.py", f"{CONTENT}import pathlib, time\nprint('ready', flush=True)\n"
                             "while not pathlib.Path('go').exists(): time.sleep(0.05)")  # fmt: skip
    with subprocess.Popen(
        (*TIDEMILL, "run", "--register", "churn", "--", sys.executable, "train.py"), cwd=folder.path,
        env=folder.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(6)  # MLflow is imported, and the run is at the server, or the server was found away
        act()
        (folder.path / "go").touch()
        _, said = process.communicate(timeout=90)
    return process.returncode, said


@pytest.mark.slow
def test_a_server_that_was_away_at_the_start_gets_it_at_the_end(folder: Folder, server: MlflowServer) -> None:
    server.kill()
    code, said = meanwhile(folder, server.start)
    assert (code, "does not answer" in said) == (0, True), said
    assert "registered m.pkl as churn/1" in said
    version = MlflowClient(server.uri, server.uri).get_model_version("churn", "1")
    assert (server.folder / f"artifacts/1/{version.run_id}/artifacts/model/m.pkl").is_file()


@pytest.mark.slow
def test_a_server_that_went_away_is_told_and_nothing_is_registered(folder: Folder, server: MlflowServer) -> None:
    code, said = meanwhile(folder, server.kill)
    assert code == 1
    assert f"m.pkl is not registered: {server.uri} failed" in said
    assert "check the tracking server, then run the same command again" in said
    assert "Traceback" not in said
    assert registered(server) == []
    server.start()
    again = folder.python("-c", CONTENT, options=("--register", "churn"))
    assert again.returncode == 0, again.stderr.decode()
    assert b"as churn/1" in again.stderr


def test_a_version_that_the_server_refuses_leaves_no_name(folder: Folder, server: MlflowServer) -> None:
    with closing(sqlite3.connect(server.folder / "server.db")) as connection, connection:
        connection.execute(
            "CREATE TRIGGER no BEFORE INSERT ON model_versions BEGIN SELECT RAISE(ABORT, 'no versions'); END"
        )
    done = folder.python("-c", CONTENT, options=("--register", "churn"))
    assert done.returncode == 1
    assert b"m.pkl is not registered" in done.stderr
    assert registered(server) == []
