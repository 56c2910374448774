"""A model for `mlflow models serve`: python mlflow_model.py GRAPH FOLDER

Its signature has the graph's own types and shapes, without which MLflow would give it 64-bit numbers.
"""

from __future__ import annotations

import sys

import mlflow
import numpy as np
import onnx
import onnxruntime
from mlflow.types.schema import ColSpec, Schema, TensorSpec

TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int64)": np.int64}

given = onnxruntime.InferenceSession(sys.argv[1]).get_inputs()
shapes = [tuple(size if isinstance(size, int) else -1 for size in each.shape) for each in given]
specs: list[ColSpec | TensorSpec] = [
    TensorSpec(np.dtype(TYPES[each.type]), shape, each.name if len(given) > 1 else None)
    for each, shape in zip(given, shapes, strict=True)
]
signature = mlflow.models.ModelSignature(inputs=Schema(specs))
mlflow.onnx.save_model(onnx.load(sys.argv[1]), sys.argv[2], signature=signature, pip_requirements=["onnxruntime"])
