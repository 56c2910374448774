"""What settings have no bearing on a model: `trainer`, `optimizer` and `callbacks` are for networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tidemill.config.overrides import parsed

if TYPE_CHECKING:
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


def without_effect(config: Config, overrides: Sequence[str]) -> Iterator[str]:
    """A line for each of `overrides` that has no effect."""
    for override in parsed(overrides):
        path = override.key_or_group
        if not bears(path, config):
            other = instead(path, config)
            better = f"; its own is {other}" if other else ""
            yield f"{override.input_line} does not bear on model={config.model.kind}{better}"
