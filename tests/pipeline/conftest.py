"""A table project, made once and copied."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tidemill.project.layout import Layout
from tidemill.project.scaffold import init

SETTINGS = ["model=linear", "logger.system_metrics=false"]


@pytest.fixture(scope="session")
def _cancer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline") / "cancer"
    init(folder, name="cancer", task="tabular")
    return folder


@pytest.fixture
def project(_cancer: Path, tmp_path: Path) -> Layout:
    shutil.copytree(_cancer, tmp_path / "cancer", symlinks=True)
    return Layout(tmp_path / "cancer")
