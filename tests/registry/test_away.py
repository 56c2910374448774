"""A rollback cannot wait for a tracking server that is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.registry.run import tidemill
from tests.tracking.servers import MlflowServer
from tidemill.project import models, scaffold, training
from tidemill.project.layout import Layout


@pytest.mark.slow
def test_a_rollback_while_the_server_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = MlflowServer(tmp_path / "server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    server.start()
    try:
        layout: Layout = scaffold.init(tmp_path / "cancer", name="cancer", task="tabular")
        for settings in (("model.params.l2=1e6",), ()):
            trained = training.train(layout, ("model=linear", *settings, "logger.system_metrics=false"))
            models.promote(layout, "cancer", trained.version.number)
    finally:
        server.kill()
    back = tidemill(layout, "models", "rollback", "cancer", "--reason", "at night", "--json")
    assert back.code == 0, back.err
    assert back.json["payload"] == {"from": 2, "to": 1, "reason": "at night"}
    manifest = (layout.serving / "cancer" / "champion.json").read_text()
    assert '"version": 1' in manifest
    server.start()
    try:
        listed = tidemill(layout, "models", "list", "--where", "alias = 'champion'", "--json").json
        assert [row["version"] for row in listed] == [1]
        from mlflow import MlflowClient

        assert MlflowClient(server.uri, server.uri).get_registered_model("cancer").aliases["champion"] in (1, "1")
        assert models.ledger(layout).events("cancer")[-1].kind == "rolled_back"
    finally:
        server.kill()
