"""The project's checked configuration, and that of a model that exists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill.domain.dataset import is_name
from tidemill.errors import ConfigError, NotFoundError
from tidemill.project.layout import Layout, read_marker

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.domain.registry import ModelVersion

# What says how a model is made; the other sections say how it is judged, and today's count.
_OF_THE_MODEL = ("name", "task", "seed", "data", "model", "optimizer", "trainer", "callbacks")


def config(layout: Layout, overrides: Sequence[str] = ()) -> Config:
    """The project's checked configuration. Raises ConfigError."""
    from tidemill.config.compose import compose

    marker = read_marker(layout)
    settings = compose(layout.conf, overrides, name=marker.name, task=marker.task)
    if not is_name(settings.name):
        raise ConfigError(f"name={settings.name!r} cannot name a model", "use letters, digits, - and _, at most 63")
    return settings


def config_like(layout: Layout, version: ModelVersion, *, dataset: str) -> Config:
    """The configuration that `version` was trained with, for the data version `dataset` (NAME-vX.Y.Z).

    Raises NotFoundError when its run's record is gone, ConfigError when today's schema does not know a setting of it.
    """
    from tidemill.config.check import checked
    from tidemill.config.compose import config_plain
    from tidemill.project.runs import read_spec, run_files

    spec, problem = read_spec(run_files(layout, version.run).get("spec.json"))
    if spec is None:
        raise NotFoundError(
            f"the settings that {version} was trained with are not to be found: {problem}",
            "train with settings of your choice:  tidemill train --because DECISION_ID",
        )
    name, _, number = dataset.rpartition("-v")
    plain = config_plain(config(layout)) | {key: spec.config[key] for key in _OF_THE_MODEL if key in spec.config}
    plain["data"] = {**plain["data"], "name": name, "version": number}
    return checked(plain, lambda path: f"the configuration of {version}: {path}")
