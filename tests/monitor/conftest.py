"""The project that went round, for tests of the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitor import loop
from tidemill.project.layout import Layout


@pytest.fixture
def project(tmp_path: Path) -> tuple[Layout, tuple[str, ...]]:
    """A fresh copy, and the ids of its 180 answers."""
    return loop.copied(tmp_path)
