"""The grid of `train -m`, with what the project's files say of it: `hydra.sweeper.params`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tidemill.config import overrides as arguments
from tidemill.config.groups import PACKAGED, listed
from tidemill.config.reading import PRIMARY, check_hydra, read_settings
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.domain.dataset import Task


def expand(
    project_conf: Path | None, overrides: Sequence[str], *, task: Task | None = None, number: int = 5
) -> list[list[str]]:
    """The grid of `-m`: the `hydra.sweeper.params` of the project's files, and the overrides, which win."""
    params = sweep_params(project_conf, overrides)
    return arguments.expand(overrides, conf=project_conf, params=params, task=task, number=number)


def first(project_conf: Path | None, overrides: Sequence[str], *, task: Task | None = None) -> list[str]:
    """The first row of that grid."""
    return arguments.first(overrides, conf=project_conf, params=sweep_params(project_conf, overrides), task=task)


def sweep_params(project_conf: Path | None, overrides: Sequence[str]) -> list[str]:
    """`hydra.sweeper.params` of config.yaml and of the experiment that is chosen, which wins, as overrides."""
    if project_conf is None:
        return []
    own = read_settings(project_conf / PRIMARY)
    found = _sweep(own, PRIMARY)
    experiment = listed(own.get("defaults") or []).get("experiment")
    for override in arguments.parsed(overrides):
        if override.key_or_group == "experiment" and not override.is_sweep_override():
            experiment = None if override.is_delete() else cast("str | None", override.value())
    if experiment:
        folder = next((each for each in (project_conf, PACKAGED) if _file(each, experiment).is_file()), project_conf)
        found |= _sweep(read_settings(_file(folder, experiment)), f"experiment/{experiment}.yaml")
    return [f"{key}={value}" for key, value in found.items()]


def _file(folder: Path, experiment: str) -> Path:
    return folder / "experiment" / f"{experiment}.yaml"


def _sweep(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    section = settings.get("hydra")
    check_hydra(section, where)
    params = ((section or {}).get("sweeper") or {}).get("params") or {}
    if not isinstance(params, dict):
        raise ConfigError(f"{where}: hydra.sweeper.params must be a section", "write  setting: values  lines below it")
    return {str(key): value for key, value in params.items()}
