"""`kill -9` of a training at any step and in any later stage; `tidemill train --resume` ends as if nothing had been."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout
from tidemill.stages.chain import read_chain

from .conftest import Copier
from .kill import Done, tidemill

pytestmark = pytest.mark.slow

SETTINGS = (
    "model.params.channels=4", "model.params.dropout=0.3", "data.augment=shift", "trainer.max_epochs=8",
    "trainer.batch_size=50", "trainer.accumulate=2", "trainer.freeze_epochs=2", "trainer.ema_decay=0.9",
    "trainer.digest_every=1", "trainer.resume.every_steps=5", "callbacks.early_stopping.patience=3",
    "optimizer.lr=0.02", "logger=csv",
)  # fmt: skip
# Dies by SIGKILL in the middle of something: argv[1] says where, argv[2] at which time, the rest is the command.
DIES = """
import os, runpy, signal, sys
where, times = sys.argv[1], int(sys.argv[2])
sys.argv = ["tidemill", *sys.argv[3:]]
def counted(event, arguments):
    global times
    text = " ".join(map(str, arguments[:2])) if event in ("os.rename", "open") else ""
    if where in text:
        times -= 1
        if times == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(counted)
runpy.run_module("tidemill", run_name="__main__", alter_sys=True)
"""


def runs(project: Path) -> list[Path]:
    folder = project / ".tidemill" / "runs"
    return [each for each in folder.iterdir() if (each / "run.json").is_file()] if folder.is_dir() else []


def links(project: Path) -> int:
    return sum(
        (each / "weights.jsonl").read_bytes().count(b"\n")
        for each in runs(project)
        if (each / "weights.jsonl").is_file()
    )


def killed_after(project: Path, steps: int, *args: str) -> None:
    """Kill the command, and all that it started, once `steps` more steps are done."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "train", *args], cwd=project, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    before, deadline = links(project), time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        seen = links(project)
        before = min(before, seen)  # going on, a run drops the links after its checkpoint
        if seen >= before + steps:
            break
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()


def dying(project: Path, where: str, times: int, *args: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIES, where, str(times), *args], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def outcome(project: Path) -> dict[str, Any]:
    """What a training leaves: weights, chain, and the history of every metric that does not tell time."""
    client = MlflowClient(ensure_database(Layout(project)))
    (run,) = client.search_runs(["1"])
    assert run.info.status == "FINISHED"
    history = {name: [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]
               for name in run.data.metrics}  # fmt: skip
    for name, values in history.items():
        steps = [step for step, _ in values]
        assert len(steps) == len(set(steps)), f"{name} was logged twice: {steps}"
    folder = project / ".tidemill" / "artifacts" / run.info.run_id / "artifacts"
    assert not runs(project)
    versions = json.loads(tidemill("models", "list", "--json", cwd=project).out)
    assert [version["version"] for version in versions] == [1]
    told = [
        line for each in project.glob(".tidemill/csv/*/*/metrics.csv") for line in each.read_text().splitlines()[1:]
    ]
    keys = [line.split(",")[:2] for line in told]
    assert len(keys) == len({tuple(key) for key in keys})
    return {
        "weights": (folder / "source" / "model.safetensors").read_bytes(),
        "last": (folder / "checkpoints" / "last.safetensors").read_bytes(),
        "chain": read_chain(folder / "lineage" / "weights.jsonl"),
        "params": run.data.params,
        "metrics": {name: sorted(values) for name, values in history.items()
                    if name != "epoch_seconds" and not name.startswith("system/")},
    }  # fmt: skip


def resumed(project: Path) -> Done:
    done = tidemill("train", "--resume", cwd=project)
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="module")
def whole(digits_project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The training that nobody killed."""
    import shutil

    project = tmp_path_factory.mktemp("whole") / "digits"
    shutil.copytree(digits_project, project, symlinks=True)
    done = tidemill("train", *SETTINGS, cwd=project)
    assert done.code == 0, done.err
    return outcome(project)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_steps(seed: int, digits: Copier, whole: dict[str, Any]) -> None:
    project, chance = digits("project"), random.Random(seed)
    killed_after(project, chance.randint(1, 40), *SETTINGS)
    for _ in range(2):
        killed_after(project, chance.randint(1, 15), "--resume")
    resumed(project)
    assert outcome(project) == whole


@pytest.mark.parametrize(
    ("where", "times"),
    [
        ("resume.safetensors", 2), ("resume.safetensors", 3), ("best-", 1), ("spec.json", 1), ("fitted.json", 1),
        ("evaluation/confusion", 1), ("bundles", 2), ("last.safetensors", 1),
    ],
)  # fmt: skip
def test_killed_while_writing(where: str, times: int, digits: Copier, whole: dict[str, Any]) -> None:
    project = digits("project")
    dying(project, where, times, "train", *SETTINGS)
    resumed(project)
    assert outcome(project) == whole


def test_a_damaged_checkpoint_costs_only_itself(digits: Copier, whole: dict[str, Any]) -> None:
    project = digits("project")
    killed_after(project, 20, *SETTINGS)
    (checkpoint,) = project.glob(".tidemill/runs/*/checkpoints/resume.safetensors")
    os.truncate(checkpoint, checkpoint.stat().st_size // 2)
    refused = tidemill("train", "--resume", cwd=project)
    assert (refused.code, "cannot be read" in refused.err, "remove it" in refused.err) == (2, True, True)
    checkpoint.unlink()
    resumed(project)
    assert outcome(project) == whole


def test_what_is_at_work_finished_or_changed_is_refused(digits: Copier) -> None:
    project = digits("project")
    assert "no run to go on with" in tidemill("train", "--resume", cwd=project).err
    dying(project, "resume.safetensors", 2, "train", *SETTINGS)
    (run,) = [each.name for each in runs(project)]
    refused = tidemill("train", "--resume", "trainer.max_epochs=3", cwd=project)
    assert (refused.code, "own settings" in refused.err) == (2, True)
    lock = (project / ".tidemill" / "runs" / run / "lock").open("r+b")
    fcntl.flock(lock, fcntl.LOCK_EX)
    busy = tidemill("train", "--resume", run[:8], cwd=project)
    assert (busy.code, "still at work" in busy.err) == (1, True)
    lock.close()
    (project / "new.py").write_text("changed = True\n")
    changed = tidemill("train", "--resume", cwd=project)
    assert (changed.code, "new.py" in changed.err) == (2, True)
    assert tidemill("train", "--resume", "--anyway", cwd=project).code == 0
    finished = tidemill("train", "--resume", run, cwd=project)
    assert (finished.code, "all runs of this project have ended" in finished.err) == (2, True)
