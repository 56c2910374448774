"""The command on a bundle's directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.registry.run import Done, tidemill
from tidemill.project.layout import Layout

Predict = Callable[..., Done]


@pytest.fixture
def predict(tmp_path: Path) -> Predict:
    """`tidemill predict BUNDLE …` outside of any project."""

    def run(bundle: Path, *args: str) -> Done:
        return tidemill(Layout(tmp_path), "predict", str(bundle), *args)

    return run
