"""A model for `mlflow models serve`: python mlflow_model.py GRAPH FOLDER"""

from __future__ import annotations

import sys

import mlflow
import onnx

mlflow.onnx.save_model(onnx.load(sys.argv[1]), sys.argv[2], pip_requirements=["onnxruntime"])
