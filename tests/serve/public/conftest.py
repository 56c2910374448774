"""The public client in an environment of its own: it holds other packages back than ours needs."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tidemill.files import locked

WANTED = "tritonclient[http]==2.73.0"
_HOME = Path(__file__).resolve().parents[3] / "build" / "tritonclient"


@pytest.fixture(scope="session")
def client_python() -> Path:
    """A Python with tritonclient: TIDEMILL_TRITONCLIENT, or made once below build/."""
    if given := os.environ.get("TIDEMILL_TRITONCLIENT"):
        return Path(given)
    _HOME.parent.mkdir(exist_ok=True)
    python, stamp = _HOME / "bin" / "python", _HOME / "made"
    with locked(_HOME.with_suffix(".lock"), timeout=300, what="the public client's environment"):
        if not stamp.is_file() or stamp.read_text() != f"{WANTED} {sys.version}":
            venv.create(_HOME, clear=True, with_pip=True)
            command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", WANTED]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"{WANTED} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
            stamp.write_text(f"{WANTED} {sys.version}")
    return python
