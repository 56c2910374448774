"""The soak of `benchmarks/soak.py`, in half a minute."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Copier
from .load import ROOT


@pytest.mark.slow
def test_a_server_under_load_bears_promotions_without_an_error_and_logs_all(trained: Copier, tmp_path: Path) -> None:
    if not shutil.which("wrk"):
        pytest.skip("needs wrk")
    told = tmp_path / "told.json"
    asked = ["--minutes", "0.4", "--every", "6", "--project", str(trained("soak")), "--json", str(told)]
    done = subprocess.run(
        [sys.executable, "benchmarks/soak.py", *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(told.read_text())
    assert set(found["served"]) == {"1", "2"}
    assert found["ids"] == found["logged"] >= found["answers"] > 1000
