"""The configuration groups: where their choices lie, and which one a task starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tidemill.config.architectures import ARCHITECTURES
from tidemill.domain.dataset import Task
from tidemill.errors import ConfigError, nearest

PACKAGED = Path(__file__).resolve().parent.parent / "conf"
_SHARED = {
    "data": "default",
    "trainer": "default",
    "callbacks": "default",
    "logger": "mlflow",
    "paths": "default",
    "search": "default",
}
DEFAULTS: Mapping[Task, Mapping[str, str]] = {
    "image": {**_SHARED, "model": "small_cnn", "optimizer": "adamw"},
    "text": {**_SHARED, "trainer": "encoder", "model": "bert", "optimizer": "transformer"},
    "tabular": {**_SHARED, "model": "xgboost", "optimizer": "adamw"},
}
_ADAPTERS = ("timm",)
"""Models by a library that need not be there."""
GROUPS = (*DEFAULTS["image"], "experiment")


def choices(conf: Path | None, group: str) -> list[str]:
    """The choices of `group`: the project's own and the packaged ones, by name."""
    folders = [folder / group for folder in (conf, PACKAGED) if folder is not None]
    return sorted({path.stem for folder in folders if folder.is_dir() for path in folder.glob("*.yaml")})


def suited(conf: Path | None, group: str, task: Task | None) -> list[str]:
    """The choices of `group`, without models for other tasks and models that need a setting of their own."""
    foreign = {
        name
        for name, each in ARCHITECTURES.items()
        if (task is not None and task not in each.tasks) or each.required or name in _ADAPTERS
    }
    return [choice for choice in choices(conf, group) if group != "model" or choice not in foreign]


def groups(conf: Path | None) -> list[str]:
    """Every group: the known ones, and the folders of the project's conf."""
    own = [path.name for path in conf.iterdir() if path.is_dir()] if conf is not None and conf.is_dir() else []
    return list(dict.fromkeys([*GROUPS, *own]))


def check_choice(conf: Path | None, group: str, choice: str, where: str) -> None:
    """Raises ConfigError unless `group` has `choice`; `where` is how a person knows the place that asks for it."""
    known = choices(conf, group)
    if choice.startswith("["):
        plain = choice.replace("'", "").replace(" ", "")
        several = f"; several: logger.beside={plain}" if group == "logger" else ""
        raise ConfigError(f"{where}: a group takes one choice, not a list", f"name one: {', '.join(known)}{several}")
    if choice not in known:
        kind = f"choices for {group}"
        raise ConfigError(f"{where}: there is no {group} {choice!r}", nearest(choice, known, kind=kind))


def listed(defaults: Iterable[Any]) -> dict[str, str | None]:
    """Group -> choice of a Hydra defaults list; what is no group entry is left out."""
    found: dict[str, str | None] = {}
    for entry in defaults:
        if isinstance(entry, Mapping) and len(entry) == 1:
            ((key, choice),) = entry.items()
            found[str(key).split()[-1].lstrip("/").split("@")[0]] = None if choice is None else str(choice)
    return found
