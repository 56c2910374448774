"""The command on a bundle's directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.registry.run import Done, tidemill
from tidemill.project.layout import Layout

Predict = Callable[..., Done]


@pytest.fixture(autouse=True, scope="session")
def _proofs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What these bundles prove is not kept in the home of whoever tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def predict(tmp_path: Path) -> Predict:
    """`tidemill predict BUNDLE …` outside of any project."""

    def run(bundle: Path, *args: str) -> Done:
        return tidemill(Layout(tmp_path), "predict", str(bundle), *args)

    return run
