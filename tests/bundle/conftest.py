"""The kept example of protocol 1, in a copy that a test may spoil."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "protocol1"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A classifier of irises by three numbers (one may be null) and a category."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "bundle"))
