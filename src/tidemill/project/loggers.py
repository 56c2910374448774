"""The trackers that a run has beside MLflow: found by key, a file of backends/trackers or an entry point."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError, nearest
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.ports import Tracker, TrackerFactory

ENTRY_POINTS = "tidemill.trackers"
ALWAYS = "mlflow"
_PACKAGE = "tidemill.backends.trackers"


def logger_keys() -> list[str]:
    """What `logger.name` and `logger.beside` may say, MLflow aside."""
    folder = importlib.import_module(_PACKAGE).__path__[0]
    own = [path.stem for path in Path(folder).glob("*.py") if not path.stem.startswith("_") and path.stem != ALWAYS]
    return sorted({*own, *(each.name for each in entry_points(group=ENTRY_POINTS))})


def open_beside(layout: Layout, settings: Config) -> list[Tracker]:
    """The trackers that the configuration asks for, each once, in its order.

    Raises ConfigError for a key that is not there and MissingExtraError for one that is not installed.
    """
    wanted = dict.fromkeys([settings.logger.name, *settings.logger.beside])
    experiment = settings.logger.experiment or settings.name
    return [_factory(key)(layout.state / key, experiment) for key in wanted if key != ALWAYS]


def _factory(key: str) -> TrackerFactory:
    known = logger_keys()
    if key not in known:
        raise ConfigError(f"logger: there is no {key[:80]!r}", nearest(key, [ALWAYS, *known], kind="loggers"))
    own = [each for each in entry_points(group=ENTRY_POINTS) if each.name == key]
    if own:
        found: TrackerFactory = own[0].load()
        return found
    factory: TrackerFactory = importlib.import_module(f"{_PACKAGE}.{key}").open_tracker
    return factory
