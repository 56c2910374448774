"""Tidemill's server with its log, or with TIDEMILL_BENCHMARK_FORGET set with a sink that forgets.

python tidemill_server.py BUNDLE PORT LOG
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.bundle.read import read_record
from tidemill.journal.read import Journal
from tidemill.ports import Answered
from tidemill.serve.limits import Access
from tidemill.serve.model import load_model
from tidemill.serve.run import listen, run_server


class Forgetful(ParquetSink):
    """Takes batches, and keeps nothing."""

    def answered(self, batches: Sequence[Answered]) -> None: ...

    def answered_at_once(self, batch: Answered) -> bool:
        return True


gc.set_threshold(50_000)  # as the command does
bundle, port, log = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
name = read_record(bundle)[0].name
model = load_model(bundle, name=name, version=0, expected=None, runtime=OnnxRuntime(), threads=2, proofs=None)
sink = (Forgetful if os.environ.get("TIDEMILL_BENCHMARK_FORGET") else ParquetSink)(log)
with listen("127.0.0.1", port) as listener:
    run_server(
        listener, [(model, None)], sink=sink, journal=Journal(log), access=Access(loopback=True, token=None),
        on_ready=lambda: None,
    )  # fmt: skip
