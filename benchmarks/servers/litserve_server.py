"""LitServe with its batching. python litserve_server.py GRAPH KIND PORT THREADS"""

from __future__ import annotations

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime

graph, kind, port, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


class Served(litserve.LitAPI):
    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(graph, options)
        self.names = [each.name for each in self.session.get_inputs()]

    def decode_request(self, request):  # an annotation would make LitServe look for it in the query
        [given] = request["inputs"]
        return (
            np.array([given[name] for name in self.names], np.float32) if kind == "table" else np.array(given, np.uint8)
        )

    def batch(self, inputs: list[Any]) -> Any:
        return np.stack(inputs)

    def predict(self, batch: Any) -> Any:
        if kind == "table":
            feed = {name: batch[:, at : at + 1] for at, name in enumerate(self.names)}
        else:
            feed = {self.names[0]: batch}
        return self.session.run(["scores"], feed)[0]

    def unbatch(self, output: Any) -> list[Any]:
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"scores": output.tolist()}


if __name__ == "__main__":
    api = Served(max_batch_size=32, batch_timeout=0.002)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        port=port, host="127.0.0.1", log_level="warning", generate_client_file=False
    )
