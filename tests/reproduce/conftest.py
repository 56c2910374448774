"""Projects with a run to do again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..faults.kill import tidemill

Copier = Callable[[str], tuple[Path, str]]
# A network that is not committed, and that a variable of the environment disturbs at a step.
NET = """
import os
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, channels, classes, height, width):
        super().__init__()
        self.body = nn.Linear(channels * height * width, 16)
        self.last = nn.Linear(16, classes)
        self.seen = 0

    def forward(self, pixels):
        if self.training:
            self.seen += 1
            if str(self.seen) == os.environ.get("DISTURB"):
                self.body.bias.data += 0.001
        return self.last(self.body(pixels.flatten(1)))
"""


def train(project: Path, *settings: str) -> str:
    """The id of the run."""
    done = tidemill("train", "--json", "logger.system_metrics=false", *settings, cwd=project)
    assert done.code == 0, done.err
    return str(json.loads(done.out)["run"])


def _project(folder: Path, task: str) -> Path:
    done = tidemill("init", "again", "--task", task, cwd=folder)
    assert done.code == 0, done.err
    return folder / "again"


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A new project for a task."""
    return lambda task: _project(tmp_path_factory.mktemp(task), task)


@pytest.fixture(scope="session")
def _net(make: Callable[[str], Path]) -> tuple[Path, str]:
    project = make("image")
    (project / "src").mkdir()
    (project / "src" / "my_net.py").write_text(NET)
    run = train(
        project, "model=own", "model.params.path=my_net.Net", "trainer.max_epochs=1", "trainer.batch_size=256",
        "trainer.digest_every=1",
    )  # fmt: skip
    return project, run


@pytest.fixture
def net(_net: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """A copy of a project with a network of its own in src/, which git does not know, and its run."""
    shutil.copytree(_net[0], tmp_path / "again", symlinks=True)
    return tmp_path / "again", _net[1]
