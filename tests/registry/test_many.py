"""Fifty promotions at once, each a process: one order, one champion. A rollback reaches a running server."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.registry.conftest import GOOD, NAME, POOR
from tests.registry.test_models import check_manifest
from tidemill.project import data, models
from tidemill.project.layout import Layout
from tidemill.project.serving import start_server

_PROGRAM = """
import sys, time
from pathlib import Path
from tidemill.errors import BusyError, InputError
from tidemill.project import models
from tidemill.project.layout import Layout
import tidemill.stages.promote, tidemill.project.data
root, turn = sys.argv[1], int(sys.argv[2])
Path(root, "ready", str(turn)).touch()
while not Path(root, "go").exists():
    time.sleep(0.01)
try:
    models.promote(Layout(Path(root)), "cancer", turn % 3 + 1, force=f"turn {turn}")
except (BusyError, InputError) as refused:
    assert "champion already" in refused.headline or "another champion" in refused.headline, refused
    sys.exit(9)
"""


@pytest.mark.slow
def test_fifty_at_once(project: Layout) -> None:
    (project.root / "ready").mkdir()
    running = [
        subprocess.Popen([sys.executable, "-c", _PROGRAM, str(project.root), str(turn)], stderr=subprocess.PIPE)
        for turn in range(50)
    ]
    while len(list((project.root / "ready").iterdir())) < 50:
        assert not any(process.poll() for process in running)
        time.sleep(0.1)
    (project.root / "go").touch()
    ended = [(process.communicate()[1], process.returncode) for process in running]
    assert {code for _, code in ended} <= {0, 9}, [said for said, code in ended if code not in (0, 9)]
    promoted = sum(code == 0 for _, code in ended)
    ledger = models.ledger(project)
    lines = [event for event in ledger.events(NAME) if event.kind == "promoted"]
    assert len(lines) == promoted and ledger.verify() == promoted + 3
    replaced = [line.payload["replaced"] for line in lines]
    assert replaced == [None, *(line.payload["version"] for line in lines[:-1])]
    check_manifest(project, lines[-1].payload["version"])


@pytest.mark.alone
def test_a_rollback_reaches_a_running_server_within_two_seconds(project: Layout, tmp_path: Path) -> None:
    models.promote(project, NAME, POOR)
    models.promote(project, NAME, GOOD)
    row = dict(data.open_version(project, NAME).examples("test").inputs[0])  # type: ignore[arg-type]  # a row
    with start_server(project, f"{NAME}@champion") as server:

        def answering() -> int:
            answer = httpx.post(f"{server.url}/v1/models/{NAME}:predict", json={"inputs": [row]})
            answer.raise_for_status()
            return int(answer.json()["version"])

        assert answering() == GOOD
        event = models.rollback(project, NAME, "too many false alarms")
        while answering() != POOR:
            age = time.time() - event.at.timestamp()
            assert age < 2, "the old version still answers"
            time.sleep(0.02)
