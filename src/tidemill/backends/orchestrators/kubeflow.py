"""The training compiled for Kubeflow Pipelines: a container for each step, its outcome an artefact of the pipeline."""

from __future__ import annotations

import inspect
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tidemill.errors import ConfigError, GateError, MissingExtraError
from tidemill.files import write_atomic

if TYPE_CHECKING:
    from tidemill.ports import PipelineForm, Stage

_TYPES = {int: "Integer", float: "Float", bool: "Boolean", str: "String"}
OUTCOME = "outcome"


class KubeflowForm:
    """`image` has the project, tidemill[train] and git in it, and its working folder is the project's."""

    def __init__(self, name: str, *, image: str) -> None:
        self._name, self._image = name, image

    def write(self, stages: Sequence[Stage], params: Mapping[str, Any], path: Path) -> None:
        """The compiled pipeline at `path`, read back and checked. Raises ConfigError for a param of another type."""
        os.environ.setdefault("KFP_DISABLE_EXECUTION_CACHING_BY_DEFAULT", "false")
        try:
            from kfp import compiler, components, dsl
        except ImportError:
            raise MissingExtraError("tidemill pipeline kubeflow", "kubeflow") from None
        typed = {_identifier(key): (key, value) for key, value in params.items()}
        for key, value in params.items():
            if type(value) not in _TYPES:
                raise ConfigError(
                    f"{key} cannot be a parameter: it is no number and no text", "leave it out of --param"
                )
        made = {
            stage.name: components.load_component_from_text(yaml.safe_dump(_component(stage, typed, self._image)))
            for stage in stages
        }
        pipeline = dsl.pipeline(name=f"{self._name}-training")(_graph(stages, typed, made))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pipeline.yaml"
            compiler.Compiler().compile(pipeline, str(file))
            check(file, stages)
            write_atomic(path, file.read_bytes())


def check(path: Path, stages: Sequence[Stage]) -> None:
    """Read the file back with Kubeflow's own reader. Raises GateError when it is not what was asked for."""
    from google.protobuf import json_format  # type: ignore[import-untyped]  # it comes without types
    from kfp import components
    from kfp.pipeline_spec import pipeline_spec_pb2

    content = path.read_text(encoding="utf-8")
    components.load_component_from_text(content)
    document = next(yaml.safe_load_all(content))
    spec = json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())
    tasks = {name: set(task.dependent_tasks) for name, task in spec.root.dag.tasks.items()}
    if tasks != {stage.name: set(stage.needs) for stage in stages}:
        raise GateError(f"the compiled pipeline has other steps than the training: {tasks}", "report this")


def _component(stage: Stage, typed: Mapping[str, tuple[str, Any]], image: str) -> dict[str, Any]:
    """The stage as a component: its outcome, a folder, is an artefact that those after it are given."""
    given = [["--given", name, {"inputPath": name}] for name in stage.needs]
    settings = [{"concat": [f"{path}=", {"inputValue": name}]} for name, (path, _) in typed.items()]
    return {
        "name": stage.name,
        "description": stage.about,
        "inputs": [
            *({"name": name, "type": "Artifact"} for name in stage.needs),
            *({"name": name, "type": _TYPES[type(value)]} for name, (_, value) in typed.items()),
        ],
        "outputs": [{"name": OUTCOME, "type": "Artifact"}],
        "implementation": {
            "container": {
                "image": image,
                "command": ["tidemill", *stage.arguments],
                "args": [
                    "--out", {"outputPath": OUTCOME}, *(part for each in given for part in each),
                    *settings,
                ],
            }
        },
    }  # fmt: skip


def _graph(
    stages: Sequence[Stage], typed: Mapping[str, tuple[str, Any]], made: Mapping[str, Callable[..., Any]]
) -> Callable[..., None]:
    """The pipeline as the function that Kubeflow traces, with a typed parameter for each setting."""

    def training(*args: Any, **kwargs: Any) -> None:
        values = dict(zip(typed, args, strict=False)) | kwargs
        outcomes: dict[str, Any] = {}
        for stage in stages:
            task = made[stage.name](**{name: outcomes[name] for name in stage.needs}, **values)
            if not stage.needs:  # what it reads lies outside, and may be new though its arguments are the same
                task.set_caching_options(False)
            task.after(*(task_of[name] for name in stage.needs))
            task_of[stage.name] = task
            outcomes[stage.name] = task.outputs[OUTCOME]

    task_of: dict[str, Any] = {}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value, annotation=type(value))
        for name, (_, value) in typed.items()
    ]
    training.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as inspect documents it
    training.__annotations__ = {each.name: each.annotation for each in parameters}
    return training


def _identifier(path: str) -> str:
    return re.sub(r"\W", "_", path)


if TYPE_CHECKING:
    _fits: type[PipelineForm] = KubeflowForm
