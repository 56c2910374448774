"""What settings have no bearing on a model: `trainer`, `optimizer` and `callbacks` are for networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.config.groups import DEFAULTS, listed
from tidemill.config.overrides import is_group, parsed
from tidemill.config.reading import PRIMARY, read_settings

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from tidemill.config.schema import Config

_OF_NETWORKS = ("trainer", "optimizer", "callbacks")
_OF_ALL = ("trainer.threads", "trainer.resume")
_INSTEAD = {
    "trainer.max_epochs": "model.params.trees",
    "optimizer.lr": "model.params.learning_rate",
    "callbacks.early_stopping.patience": "model.params.patience",
}  # of boosted trees


def bears(path: str, config: Config) -> bool:
    """Whether the setting or group `path` can change what the model of `config` becomes."""
    of_networks = path.split(".", maxsplit=1)[0] in _OF_NETWORKS and not path.startswith(_OF_ALL)
    return config.task != "tabular" or not of_networks


def instead(path: str, config: Config) -> str:
    """The setting of its model that means the same, or nothing."""
    return _INSTEAD.get(path, "") if config.model.kind == "xgboost" else ""


def without_effect(config: Config, overrides: Sequence[str], conf: Path | None = None) -> Iterator[str]:
    """A line for each of `overrides`, and of what the files of the project's `conf` set, that has no effect."""
    given = parsed(overrides)
    for path, told in [*_in_files(config, given, conf), *((each.key_or_group, each.input_line) for each in given)]:
        if not bears(path, config):
            other = instead(path, config)
            better = f"; its own is {other}" if other else ""
            yield f"{told} does not bear on model={config.model.kind}{better}"


def _in_files(config: Config, given: Sequence[Override], conf: Path | None) -> Iterator[tuple[str, str]]:
    """Each setting in config.yaml and in the chosen files of the project, and how it is named to a person."""
    if conf is None or not conf.is_dir():
        return
    own = read_settings(conf / PRIMARY)
    chosen = {**DEFAULTS[config.task], **listed(own.get("defaults") or [])}
    chosen |= {each.key_or_group: str(each.value()) for each in given if is_group(each, conf)}
    yield from ((path, f"{PRIMARY}: {path}") for path in _leaves(own, ""))
    for group in (*_OF_NETWORKS, "experiment"):
        settings = read_settings(conf / group / f"{chosen.get(group)}.yaml")
        settings.pop("defaults", None)
        for path in _leaves(settings, "" if group == "experiment" else group):
            yield path, f"{group}/{chosen[group]}.yaml: {path}"


def _leaves(plain: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, value in plain.items():
        below = f"{path}.{key}" if path else str(key)
        yield from _leaves(value, below) if isinstance(value, Mapping) else [below]
