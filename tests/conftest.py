"""What every test shares: few threads, and nothing written outside the test's own folders."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "2"
os.environ.setdefault("TQDM_DISABLE", "1")
for _name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "TIDEMILL_TOKEN"):
    os.environ.pop(_name, None)
