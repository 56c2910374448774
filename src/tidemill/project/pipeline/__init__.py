"""The training as cached steps, run here or by others' orchestrators."""

from tidemill.project.pipeline.forms import run_prefect, write_dvc, write_kubeflow
from tidemill.project.pipeline.running import Done, State, do, from_params, run, states

__all__ = ["Done", "State", "do", "from_params", "run", "run_prefect", "states", "write_dvc", "write_kubeflow"]
