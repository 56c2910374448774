"""Golden requests, one by one, for as long as a model is in service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tidemill.serve import pulse

from . import bundles
from .conftest import App, Start, load


def _until(app: App, status: int) -> Any:
    deadline = time.monotonic() + 20
    while (answer := app.get("/v2/health/ready")).status_code != status and time.monotonic() < deadline:
        time.sleep(0.02)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "EVERY", 0.05)


@pytest.mark.usefixtures("quick")
def test_a_model_whose_answers_change_is_not_ready_and_says_which(made: Path, tmp_path: Path, start: Start) -> None:
    app = start(made / "img")
    predictor, sound = app.model.predictor, app.model.predictor.session
    assert _until(app, 200)["ready"]

    predictor.session = load(bundles.image_bundle(tmp_path / "other", seed=9)).predictor.session
    detail = _until(app, 503)
    predictor.session = sound

    assert detail["ready"] is False
    assert "golden request" in detail["trouble"]
    assert "difference" in detail["trouble"]
    assert _until(app, 200) == {"ready": True, "model": "digits", "version": 1}
    assert app.logged().num_rows == 0  # nobody asked


@pytest.mark.usefixtures("quick")
def test_a_model_that_was_not_heard_of_lately_is_not_ready(made: Path, start: Start) -> None:
    app = start(made / "reg")
    (slot,) = app.service.slots
    slot.proven = time.monotonic() - 2 * pulse.STALE
    assert not slot.ready
    assert _until(app, 200)["ready"]
    assert slot.proven > time.monotonic() - 5
