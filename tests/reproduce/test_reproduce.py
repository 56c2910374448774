"""Runs done again: identical where nothing differs, and the first step and the cause named where something does."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tidemill.errors import NotFoundError
from tidemill.project.again import Reproduced, reproduce
from tidemill.project.again.recorded import client_of, find_run
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout
from tidemill.stages.reproduce import Preparation
from tidemill.stages.runfolder import is_alive

from ..faults.kill import tidemill
from .conftest import NET, train


def git(project: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=True).stdout


def runs(project: Path) -> list[Any]:
    client = MlflowClient(tracking_uri=ensure_database(Layout(project)))
    return list(client.search_runs([each.experiment_id for each in client.search_experiments()]))


class Heard:
    """A Watcher that remembers in which order it heard what."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def prepared(self, preparation: Preparation) -> None:
        self.said.append(preparation)

    def links(self, same: int, total: int) -> None:
        self.said.append((same, total))


def again(project: Path, run: str, **how: Any) -> Reproduced:
    return reproduce(Layout(project), run, **how)


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("tabular", ("model=xgboost", "model.params.trees=40", "trainer.digest_every=10")),
        ("tabular", ("model=linear",)),
        pytest.param("image", ("trainer.max_epochs=2", "trainer.digest_every=5"), marks=pytest.mark.slow),
        pytest.param(
            "text",
            ("trainer.max_epochs=1", "model.params.hidden=16", "model.params.layers=1", "trainer.batch_size=256"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["xgboost", "sklearn", "image", "text"],
)
def test_a_run_comes_out_the_same(make: Callable[[str], Path], task: str, settings: tuple[str, ...]) -> None:
    project = make(task)
    run = train(project, *settings)
    before = git(project, "status", "--porcelain"), git(project, "rev-parse", "HEAD"), git(project, "stash", "list")
    done = tidemill("reproduce", run[:8], "--json", cwd=project)
    assert done.code == 0, done.err + done.out
    verdict = json.loads(done.out)["verdict"]
    assert verdict["identical"]
    assert verdict["links"] >= 1
    assert verdict["compared"] >= 4
    assert "environment  as recorded" in done.err
    assert (
        git(project, "status", "--porcelain"),
        git(project, "rev-parse", "HEAD"),
        git(project, "stash", "list"),
    ) == before
    (only,) = runs(project)
    assert only.data.tags["tidemill.reproduced"].startswith("identical")
    assert only.info.status == "FINISHED"


def test_what_was_not_committed_is_part_of_the_code(net: tuple[Path, str]) -> None:
    project, run = net
    (project / "src" / "my_net.py").unlink()  # it is in the recorded difference alone
    kept = project.parent / "kept"
    done = again(project, run, directory=kept)
    assert done.verdict.identical, done.verdict
    assert done.verdict.links > 3
    assert "DISTURB" in (kept / "src" / "my_net.py").read_text()
    assert json.loads(Path(done.report).read_text())["verdict"]["identical"]


def test_a_disturbed_step_is_named(net: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    project, run = net
    monkeypatch.setenv("DISTURB", "3")
    heard = Heard()
    done = again(project, run, watcher=heard)
    assert not done.verdict.identical
    assert (done.verdict.step, done.verdict.after) == (3, 2)
    assert done.verdict.cause == "nondeterminism"
    (only,) = runs(project)
    assert only.data.tags["tidemill.reproduced"].startswith("differs at step 3: nondeterminism")
    assert isinstance(heard.said[0], Preparation)


def test_to_the_end_metrics_and_files_are_compared_too(net: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    project, run = net
    monkeypatch.setenv("DISTURB", "3")
    verdict = again(project, run, to_end=True).verdict
    assert verdict.step == 3
    assert any(each.startswith("train_loss at ") for each in verdict.metrics)
    assert any(each.endswith(".safetensors") for each in verdict.files)


def test_other_code_is_the_cause(net: tuple[Path, str]) -> None:
    project, run = net
    file = project / "src" / "my_net.py"
    file.write_text(file.read_text().replace("self.body(pixels.flatten(1))", "self.body(pixels.flatten(1) * 1.5)"))
    verdict = again(project, run, present_code=True).verdict
    assert verdict.cause == "code"
    assert "my_net.py" in verdict.reason
    assert verdict.step == 1


def test_another_seed_in_the_record_is_found_out(net: tuple[Path, str]) -> None:
    project, run = net
    spec = next(project.glob(f".tidemill/artifacts/{run}/artifacts/lineage/spec.json"))
    plain = json.loads(spec.read_text())
    plain["config"]["seed"] = plain["seed"] = 7
    spec.write_text(json.dumps(plain))
    done = tidemill("reproduce", run, cwd=project)
    assert done.code == 2
    assert "spec.json" in done.err
    assert "altered" in done.err


def test_altered_data_is_the_cause(net: tuple[Path, str]) -> None:
    project, run = net
    shards = [
        path for path in project.rglob("*.parquet") if "artifacts" not in path.parts and "bundles" not in path.parts
    ]
    cached = [path for path in (project / ".dvc" / "cache").rglob("*") if path.is_file()]
    for path in {*shards, *cached}:
        content = bytearray(path.read_bytes())
        if content[:4] != b"PAR1":
            continue
        content[len(content) // 2] ^= 1
        os.chmod(path, 0o644)
        path.write_bytes(content)
    done = again(project, run)
    assert done.verdict.cause == "data"
    assert done.verdict.step == 0


def test_a_changed_lock_file_is_told_before_anything_runs(net: tuple[Path, str]) -> None:
    project, run = net
    (project / "uv.lock").write_text("version = 1\n")
    heard = Heard()
    again(project, run, watcher=heard)
    first = heard.said[0]
    assert first.files == ("uv.lock is new",)
    refused = tidemill("reproduce", run, "--strict", cwd=project)
    assert refused.code == 2
    assert "uv.lock is new" in refused.err
    assert "nothing was run" in refused.err
    assert "digests compared" not in refused.err


def test_a_run_that_is_not_there_names_the_nearest(net: tuple[Path, str]) -> None:
    project, run = net
    done = tidemill("reproduce", run[:-2] + "zz", cwd=project)
    assert done.code == 2
    assert run in done.err
    taken = tidemill("reproduce", run, "--dir", str(project), cwd=project)
    assert taken.code == 2
    assert "exists already" in taken.err


def test_a_model_may_print_more_than_a_pipe_holds(make: Callable[[str], Path]) -> None:
    project = make("image")
    (project / "src").mkdir()
    said = "        [print(f'a line of some length, number {i}') for i in range(int(os.environ.get('LOUD', 0)))]\n"
    loud = NET.replace("        self.seen = 0\n", "        self.seen = 0\n" + said)
    assert loud != NET
    (project / "src" / "loud.py").write_text(loud)
    run = train(project, "model=own", "model.params.path=loud.Net", "trainer.max_epochs=1", "trainer.batch_size=512")
    command = [sys.executable, "-m", "tidemill", "reproduce", run]
    env = {**os.environ, "LOUD": "4000"}
    done = subprocess.run(
        command, cwd=project, capture_output=True, text=True, timeout=120, env=env
    )  # it once hung here
    assert done.returncode == 0, done.stderr


def test_a_run_is_found_among_thousands(net: tuple[Path, str]) -> None:
    project, run = net
    layout = Layout(project)
    with closing(sqlite3.connect(layout.database)) as connection, connection:
        (experiment,) = connection.execute("SELECT experiment_id FROM runs WHERE run_uuid = ?", (run,)).fetchone()
        made = ((f"zz{number:030}", experiment, 2**42 + number) for number in range(5001))
        connection.executemany(
            "INSERT INTO runs (run_uuid, experiment_id, status, lifecycle_stage, start_time, user_id)"
            " VALUES (?, ?, 'FINISHED', 'active', ?, 'me')", made,
        )  # fmt: skip
    client = client_of(layout)
    for text in (run, run[:8]):
        assert find_run(layout, text, client).info.run_id == run
    with pytest.raises(NotFoundError, match="begins the id of"):
        find_run(layout, "zz000", client)
    with pytest.raises(NotFoundError, match="there is no run"):
        find_run(layout, "%%%%", client)


@pytest.mark.slow
def test_killed_it_leaves_nothing_at_work(net: tuple[Path, str], tmp_path: Path) -> None:
    project, run = net
    kept = tmp_path / "kept"
    command = [sys.executable, "-m", "tidemill", "reproduce", run, "--dir", str(kept)]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(kept.glob(".tidemill/runs/*/lock")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    while any(is_alive(path.parent) for path in kept.glob(".tidemill/runs/*/lock")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (only,) = runs(project)
    assert only.info.status == "FINISHED"
    assert again(project, run).verdict.identical
