"""Rows a second of a bundle's graph in batches of 32: python runtime_alone.py BUNDLE INPUTS THREADS SECONDS

INPUTS is an npz file with the graph's inputs, or a JSON list of sentences, which are tokenized each time.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

bundle, given, threads, seconds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(bundle / "model.onnx", options)
if given.suffix == ".json":
    from tidemill.bundle.sentences import Sentences
    from tidemill.domain.bundle import TextPreprocessing

    about = json.loads((bundle / "bundle.json").read_text())["preprocessing"]
    reader = Sentences(TextPreprocessing(about["max_length"], about["pad_id"]), bundle / "tokenizer.json")
    texts = json.loads(given.read_text())
    batches: list[Any] = [texts[:32], texts[32:]]
else:
    arrays = dict(np.load(given))
    batches = [{name: array[at : at + 32] for name, array in arrays.items()} for at in (0, 32)]


def run(batch: Any) -> None:
    session.run(["scores", "embedding"], dict(reader.prepare(batch)) if isinstance(batch, list) else batch)


for batch in batches * 3:
    run(batch)
rows, began = 0, time.perf_counter()
while time.perf_counter() - began < seconds:
    for batch in batches:
        run(batch)
        rows += 32
print(rows / (time.perf_counter() - began))
