"""Ray Serve with its batching. python ray_server.py GRAPH KIND PORT THREADS"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request

graph, kind, port, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


@serve.deployment(num_replicas=1, max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
class Served:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(graph, options)
        self.names = [each.name for each in self.session.get_inputs()]

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.002)
    async def predict(self, inputs: list[Any]) -> list[Any]:
        if kind == "table":
            feed = {name: np.array([[row[name]] for row in inputs], np.float32) for name in self.names}
        else:
            feed = {self.names[0]: np.array(inputs, np.uint8)}
        return self.session.run(["scores"], feed)[0].tolist()

    async def __call__(self, request: Request) -> dict[str, Any]:
        [given] = (await request.json())["inputs"]
        return {"scores": [await self.predict(given)]}


ray.init(num_cpus=4, include_dashboard=False, logging_level="warning", configure_logging=False)
serve.start(http_options={"host": "127.0.0.1", "port": port})
serve.run(Served.bind(), route_prefix="/predict")
while True:
    time.sleep(60)
