"""The training as a DVC pipeline: stages in dvc.yaml, parameters in params.yaml beside it."""

from __future__ import annotations

import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.errors import ConfigError
from tidemill.files import write_atomic

if TYPE_CHECKING:
    from tidemill.ports import PipelineForm, Stage

PARAMS, FOLDER, METRICS = "params.yaml", "pipeline", "pipeline/metrics.json"


class DvcForm:
    """`dvc repro` then does what changed; stages of the user's own in the same file stay."""

    def write(self, stages: Sequence[Stage], params: Mapping[str, Any], path: Path) -> None:
        """dvc.yaml at `path` and params.yaml beside it. `params` is the whole configuration, nested."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        yaml = YAML()
        try:
            content = yaml.load(path.read_text(encoding="utf-8")) if path.is_file() else None
        except YAMLError as error:
            raise ConfigError(f"{path} is no YAML: {str(error).splitlines()[0]}", "mend it, or move it away") from None
        content = content or {}
        if isinstance(content, dict) and content.get("stages") is None:
            content["stages"] = {}
        if not isinstance(content, dict) or not isinstance(content["stages"], dict):
            raise ConfigError(f"{path} has no stages", "mend it, or move it away")
        for stage in stages:
            content["stages"][stage.name] = _stage(stage)
        text = io.StringIO()
        yaml.dump(content, text)
        plain = io.StringIO()
        yaml.dump(dict(params), plain)
        write_atomic(path.parent / PARAMS, plain.getvalue().encode())
        write_atomic(path, text.getvalue().encode())


def _stage(stage: Stage) -> dict[str, Any]:
    command = ["tidemill", *stage.arguments, "--params", PARAMS, "--folder", FOLDER]
    found: dict[str, Any] = {"desc": stage.about}
    if stage.name == "evaluate":
        command += ["--metrics", METRICS]
    found["cmd"] = shlex.join(command)
    found["deps"] = [*(f"{FOLDER}/{name}" for name in stage.needs), *stage.deps]
    found["params"] = list(stage.sections)
    found["outs"] = [f"{FOLDER}/{stage.name}"]
    if stage.name == "evaluate":
        found["metrics"] = [{METRICS: {"cache": False}}]
    return {key: value for key, value in found.items() if value}


if TYPE_CHECKING:
    _fits: type[PipelineForm] = DvcForm
