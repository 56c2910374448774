"""What waits in a project's spool goes to the server it is for, whatever else waits, and is nowhere lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow.tracking import MlflowClient

from tidemill.backends.trackers._spool import Spool, spools
from tidemill.backends.trackers._spooled import SpooledRuns
from tidemill.backends.trackers._store import MlflowStore
from tidemill.cli.commands.sync import command
from tidemill.errors import StateError, StorageError
from tidemill.project.layout import Layout
from tidemill.project.runs import sync
from tidemill.project.scaffold import init

from .proxy import Fault, proxied
from .servers import MlflowServer, free_port


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return init(tmp_path / "digits", name="digits", task="image", sample=None)


def _left(root: Path, address: str) -> str:
    """The local id of a run that a dead process could not tell the server at `address`."""
    spool = Spool.new(root)
    said = {"kind": "start", "name": "one", "tags": {}, "parent": "", "at": 1_700_000_000_000, "address": address}
    spool.append(said)
    spool.append({"kind": "metrics", "values": [("loss", 0.5, 1_700_000_000_000, 1)]})
    spool.append({"kind": "finish", "status": "finished", "at": 1_700_000_001_000}, durable=True)
    spool.close()
    return spool.local


def test_without_an_address_or_with_another_it_says_where_it_belongs(
    layout: Layout, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = _left(layout.spool, server.uri)
    with pytest.raises(StateError, match=rf"{local}(.|\n)*MLFLOW_TRACKING_URI={server.uri} tidemill sync"):
        list(sync(layout))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StateError, match=f"MLFLOW_TRACKING_URI={server.uri}"):
        list(sync(layout))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hidden@{server.uri.removeprefix('http://')}/")
    assert list(sync(layout)) == [(local, 3)]
    assert list(sync(layout)) == []


def test_one_that_cannot_be_read_is_said_and_the_others_are_sent(
    layout: Layout, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    headless, newer, fine = (_left(layout.spool, server.uri) for _ in range(3))
    content = bytearray((layout.spool / headless / "entries").read_bytes())
    content[20] ^= 1
    (layout.spool / headless / "entries").write_bytes(content)
    (layout.spool / newer / "entries").write_bytes(b"TMRUNS\x00\x02 from the future")
    (layout.spool / fine / "shipped").write_bytes(b"")
    monkeypatch.chdir(layout.root)
    answered = CliRunner().invoke(command, ["--json"])
    assert json.loads(answered.stdout) == [{"run": fine, "entries": 3}]
    assert isinstance(answered.exception, StorageError)
    assert "its beginning is lost" in answered.exception.headline
    assert (layout.spool / "damaged" / f"{headless}.entries").read_bytes() == content
    assert spools(layout.spool) == [newer]


def test_a_server_that_refuses_connections_is_away_and_the_disk_is_not_blamed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    spool = Spool.new(layout.spool)  # nothing in it: only the ends of dead runs are to be told
    spool.close()
    with pytest.raises(StorageError, match=r"still away: (.|\n)*refused"):
        list(sync(layout))


def test_a_refused_artefact_is_kept_here(layout: Layout, server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    (layout.root / "note.txt").write_text("the only copy")
    spool = Spool.new(layout.spool)
    spool.append({"kind": "adopt", "id": "0" * 32, "address": server.uri})  # a run that somebody has deleted for good
    file = spool.take(layout.root / "note.txt")
    spool.append({"kind": "keep", "file": file, "folder": "notes", "dir": False}, durable=True)
    spool.close()
    assert list(sync(layout)) == [(spool.local, 2)]
    (line,) = (layout.spool / "refused.jsonl").read_text().splitlines()
    assert (Path(json.loads(line)["entry"]["kept"]) / "note.txt").read_text() == "the only copy"
    assert not spools(layout.spool)


def test_a_slow_upload_is_no_absence(server: MlflowServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.bin").write_bytes(b"x" * 1000)

    def choose(method: str, path: str) -> Fault:
        return "slow" if "model.bin" in path else "none"

    with proxied("127.0.0.1", server.port, choose) as uri:
        runs = SpooledRuns(MlflowStore(uri, experiment="slow", artifacts=None), tmp_path / "spool", wait=0.3)
        run = runs.start("one", {}, {}, "")
        runs.keep(run, tmp_path / "model.bin", "source")
        assert runs.settle(run) == run
        runs.finish(run, "finished")
    assert MlflowClient(server.uri).get_run(run).info.status == "FINISHED"
    assert "wait" not in capsys.readouterr().err
