"""Plain FastAPI and ONNX Runtime, as it is mostly written by hand. python fastapi_server.py GRAPH KIND PORT THREADS"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

graph, kind, port, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(graph, options)
names = [each.name for each in session.get_inputs()]
app = FastAPI()


class Body(BaseModel):
    inputs: list[Any]


@app.post("/predict")
def predict(body: Body) -> dict[str, Any]:
    if kind == "table":
        feed = {name: np.array([[row[name]] for row in body.inputs], np.float32) for name in names}
    else:
        feed = {names[0]: np.array(body.inputs, np.uint8)}
    scores = session.run(["scores"], feed)[0]
    return {"scores": scores.tolist()}


uvicorn.run(app, port=port, log_level="warning", access_log=False)
