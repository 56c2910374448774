"""Predictions to log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tidemill.domain.digest import Digest
from tidemill.domain.prediction import Prediction, new_prediction_id
from tidemill.domain.record import now

DIGEST = Digest.of_bytes(b"")
Make = Callable[..., Prediction]


@pytest.fixture
def make() -> Make:
    """A prediction of a model's version; floats are exact in 32 bits, so that they come back equal."""

    def prediction(model: str = "digits", version: int = 1, output: str = "3") -> Prediction:
        content = b"\x00\xffpixels"
        return Prediction(
            id=new_prediction_id(),
            at=now(),
            model=model,
            version=version,
            bundle=DIGEST,
            input_digest=Digest.of_bytes(content),
            input=content,
            scores=(0.25, 0.75),
            output=output,
            embedding=(1.5, -2.0, 3.25),
            latency_ms=1.5,
        )

    return prediction


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "log"
