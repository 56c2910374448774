"""A bundle of protocol 2 opens, passes its golden requests and answers, and always must; numbers keep their fields."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.golden import replay
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.read import open_bundle
from tidemill.domain.bundle import Latency
from tidemill.domain.digest import Digest
from tidemill.errors import BundleError

EXAMPLE = Path(__file__).parent / "protocol2"
DIGEST = Digest("sha256:242eb6fe6c8ee9afbfdc07780e65a3e24e6f3a195d1e2891aa49947a71b59e4b")
ROW = {"a b": 900.0, "a_b": 3, "größe": "x", "n!": "1"}


def test_it_opens_replays_and_answers() -> None:
    opened = open_bundle(EXAMPLE, expected=DIGEST)
    parity = opened.bundle.parity
    assert opened.bundle.protocol == 2 and parity.held and parity.precision == "float32"
    assert (parity.bytes, parity.source_bytes, parity.worst_class) == (1544, 144259, "a")
    assert parity.source_latency == Latency(9.8043, 8.8416)
    session = OnnxRuntime().load(opened.directory, opened.bundle, threads=1)
    replay(opened, session)
    (answer,) = Predictor(opened, session).predict([ROW])
    assert answer.output == "b"


def _newer(record: dict[str, Any]) -> None:
    record["protocol"] = 1


def _older(record: dict[str, Any]) -> None:
    del record["parity"]["loss_limit"]


def _unknown(record: dict[str, Any]) -> None:
    record["parity"]["luck"] = 1


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (_newer, "has an unknown field 'batch_latency_ms'"),
        (_older, "lacks the field 'loss_limit'"),
        (_unknown, "has an unknown field 'luck'"),
    ],
)
def test_each_number_has_its_own_fields(tmp_path: Path, alter: Callable[[dict[str, Any]], None], said: str) -> None:
    directory = Path(shutil.copytree(EXAMPLE, tmp_path / "bundle"))
    record = json.loads((directory / "bundle.json").read_bytes())
    alter(record)
    (directory / "bundle.json").write_text(json.dumps(record))
    with pytest.raises(BundleError, match=said):
        open_bundle(directory)
