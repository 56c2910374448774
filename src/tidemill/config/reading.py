"""The project's YAML files as plain values, with errors that name the file and the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tidemill.errors import ConfigError

PRIMARY = "config.yaml"


def read_settings(path: Path) -> dict[str, Any]:
    """A YAML file's values, interpolations unresolved; nothing when there is no such file."""
    if not path.is_file():
        return {}
    try:
        plain = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (yaml.YAMLError, OSError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise broken(path, error) from None
    if not isinstance(plain, dict):
        raise ConfigError(f"{path}: must hold settings, not a list", "write  key: value  lines")
    return cast("dict[str, Any]", plain)


def broken(path: Path | None, error: Exception) -> ConfigError:
    """What a parser said, as an error that names the place."""
    mark = getattr(error, "problem_mark", None)
    place = f"{path or (mark.name if mark else 'the configuration')}"
    if mark is not None:
        problem = getattr(error, "problem", None) or "not YAML"
        return ConfigError(f"{place}, line {mark.line + 1}: {problem}", "correct that line")
    first = (str(error).strip().splitlines() or ["cannot be read"])[0]
    return ConfigError(f"{place}: {first}", "correct that file")


def check_hydra(section: Any, where: str = PRIMARY) -> None:
    """Of Hydra's own settings the parameters of a sweep count; anything else would be without effect."""
    inside = {} if section is None else section
    if not isinstance(inside, dict) or set(inside) - {"sweeper"} or set(inside.get("sweeper") or {}) - {"params"}:
        raise ConfigError(f"{where}: of Hydra's own settings only hydra.sweeper.params counts", "take the others out")
