"""A process that is forked after a model was loaded does not hang on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.serve.bundles import tabular_bundle

_FORKS = """
import os, sys, threading, time
from pathlib import Path
import numpy as np
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.read import open_bundle
from tidemill.errors import TidemillError
place, feed = Path(sys.argv[1]), {name: np.ones((64, 1), np.float32) for name in ("width", "height")}
bundle = open_bundle(place).bundle
session = OnnxRuntime().load(place, bundle, threads=4)
def ask():
    while True:
        session.run(feed)
threading.Thread(target=ask, daemon=True).start()
for _ in range(20):
    time.sleep(0.003)
    pid = os.fork()
    if not pid:
        try:
            session.run(feed)
        except TidemillError as error:
            again = OnnxRuntime().load(place, bundle, threads=1).run(feed)
            os._exit(0 if "forked" in error.headline and len(again.scores) == 64 else 4)
        os._exit(3)
    _, status = os.waitpid(pid, 0)
    if status:
        print(f"a fork ended with {status}", file=sys.stderr, flush=True)
        os._exit(1)
session.run(feed)
os._exit(0)  # the thread that asks would be in the way of an orderly end
"""


def test_a_model_that_was_loaded_before_a_fork_refuses_to_run_in_it(tmp_path: Path) -> None:
    bundle = tabular_bundle(tmp_path / "bundle")
    done = subprocess.run(
        [sys.executable, "-W", "ignore:This process", "-c", _FORKS, str(bundle)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
