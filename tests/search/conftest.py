"""A project with a small table and nothing else, made once and copied for each test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tidemill.files import locked
from tidemill.project.layout import Layout

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project `cancer`: a table with two classes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "search"
    folder.mkdir(exist_ok=True)
    with locked(folder / "lock", timeout=600):
        if not (folder / "cancer").exists():
            command = [sys.executable, "-m", "tidemill", "init", "cancer", "--task", "tabular"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "cancer"


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Layout:
    """A copy of it."""
    shutil.copytree(made, tmp_path / "cancer", symlinks=True)
    return Layout(tmp_path / "cancer")


@pytest.fixture
def tidemill(project: Layout) -> Run:
    """The command, in the project."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tidemill", *arguments]
        return subprocess.run(command, cwd=project.root, capture_output=True, text=True)

    return run
