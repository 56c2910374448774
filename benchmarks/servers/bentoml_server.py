"""BentoML with its batching: `bentoml serve bentoml_server:Served`, GRAPH, KIND and THREADS from the environment."""

from __future__ import annotations

import os
from typing import Any

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1, traffic={"timeout": 60})
class Served:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["THREADS"])
        self.session = onnxruntime.InferenceSession(os.environ["GRAPH"], options)
        self.names = [each.name for each in self.session.get_inputs()]
        self.table = os.environ["KIND"] == "table"

    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=32, max_latency_ms=1000)
    def predict(self, inputs: list[Any]) -> list[Any]:
        if self.table:
            feed = {name: np.array([[row[name]] for row in inputs], np.float32) for name in self.names}
        else:
            feed = {self.names[0]: np.array(inputs, np.uint8)}
        return self.session.run(["scores"], feed)[0].tolist()
