"""The data sets that trainings are tested with, and a project folder with a `src/` of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ..training.conftest import cancer, diabetes, digits, sentences, table  # noqa: F401  # fixtures


@pytest.fixture
def source(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a file of a project's `src/`; returns the project's folder."""

    def write(name: str, content: str) -> Path:
        path = tmp_path / "project" / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return tmp_path / "project"

    return write
