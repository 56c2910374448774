"""Composes the configuration with Hydra: the project's conf before the packaged one, then checked against the schema.

The groups that the project's config.yaml does not list are added with the task's defaults, so that it may be as short
as it likes, or missing. Hydra's working folders, logging and global state are left alone.
"""

from __future__ import annotations

import copy
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tidemill.config import overrides as arguments
from tidemill.config.check import checked
from tidemill.config.cycles import endless
from tidemill.config.groups import DEFAULTS, GROUPS, PACKAGED, check_choice, choices, groups, listed
from tidemill.config.reading import PRIMARY, broken, check_hydra, read_settings
from tidemill.config.schema import Config
from tidemill.domain.record import to_plain
from tidemill.errors import ConfigError, nearest

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from tidemill.domain.dataset import Task

_one_at_a_time = threading.Lock()  # Hydra's initialisation is global


class _Plan(NamedTuple):
    """What is given to Hydra: the primary config, the value overrides, and the choice made in each group."""

    primary: dict[str, Any]
    values: list[str]
    chosen: dict[str, str]


class Composed:
    """A composition to be asked for the configuration again and again, each time with other values."""

    def __init__(self, conf: Path | None, given: Sequence[Override], plan: _Plan, task: Task) -> None:
        self._conf, self._given, self._plan, self._task = conf, given, plan, task
        self._settings = _hydra(plan, conf)

    def config(self, values: Mapping[str, Any] | None = None) -> Config:
        """The checked configuration with `values`, by dotted path, in place; whatever refers to them follows."""
        settings = copy.deepcopy(self._settings) if values else self._settings
        for path, value in (values or {}).items():
            OmegaConf.update(settings, path, value, force_add=True)
        with _understood("conf"):
            plain = cast("dict[str, Any]", OmegaConf.to_container(settings, resolve=True))
        _refuse_targets(plain, "")
        if plain.get("task") != self._task:
            said = f"task is {plain.get('task')!r}, but this project's task is {self._task}"
            raise ConfigError(said, "leave task out")
        return checked(plain, lambda path: self._origin(path, values or {}))

    def _origin(self, path: str, values: Mapping[str, Any]) -> str:
        return f"{path}={values[path]}" if path in values else _origin(path, self._given, self._plan.chosen, self._conf)


def composed(project_conf: Path | None, overrides: Sequence[str], *, name: str, task: Task) -> Composed:
    """The composition of the model `name`. Raises ConfigError naming the argument or file that is wrong."""
    conf = project_conf if project_conf is not None and project_conf.is_dir() else None
    given = arguments.parsed(overrides)
    for override in given:
        arguments.check(override, conf)
    try:
        return Composed(conf, given, _plan(conf, given, name, task), task)
    except RecursionError:
        if conf is None:
            raise
        raise endless(conf) from None


def compose(project_conf: Path | None, overrides: Sequence[str], *, name: str, task: Task) -> Config:
    """The checked configuration of the model `name`. Raises ConfigError naming the argument or file that is wrong."""
    return composed(project_conf, overrides, name=name, task=task).config()


def config_plain(config: Config) -> dict[str, Any]:
    """The configuration as plain values, as a RunSpec keeps it: all but `search`, which makes no model."""
    plain = cast("dict[str, Any]", to_plain(config))
    plain.pop("search", None)
    return plain


def _plan(conf: Path | None, given: Sequence[Override], name: str, task: Task) -> _Plan:
    own = read_settings(conf / PRIMARY) if conf is not None else {}
    defaults = own.pop("defaults", None) or []
    check_hydra(own.pop("hydra", None))
    if not isinstance(defaults, list):
        raise ConfigError(f"{PRIMARY}: defaults must be a list", "write each as  - group: choice")
    mentioned = _mentioned(defaults, conf)
    base = [{group: choice} for group, choice in DEFAULTS[task].items() if group not in mentioned]
    own_entries = [entry for entry in defaults if "experiment" not in listed([entry])]
    if "_self_" not in own_entries:
        own_entries.append("_self_")
    chosen = {**DEFAULTS[task], **{group: choice for group, choice in mentioned.items() if choice}}
    values = []
    for override in given:
        group, value = override.key_or_group, override.value()
        if arguments.is_group(override, conf):
            chosen[group] = "" if override.is_delete() or value is None else str(value)
        else:
            values.append(_forced(override))
    if chosen["data"] not in choices(conf, "data"):  # a data set without settings of its own needs no file
        values.insert(0, f"++data.name={chosen['data']!r}")
        chosen["data"] = "default"
    entries = [_with_choice(entry, chosen) for entry in [*base, *own_entries]]
    experiment = chosen.get("experiment")
    entries += [{"experiment": experiment}] if experiment else []
    entries += [{group: choice} for group, choice in chosen.items() if group not in {*GROUPS, *mentioned}]
    return _Plan({"defaults": entries, "name": name, "task": task, **own}, values, chosen)


def _with_choice(entry: Any, chosen: Mapping[str, str]) -> Any:
    """The defaults entry with the choice that was made for its group."""
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((group, _),) = listed([entry]).items()
        if chosen.get(group):
            return {next(iter(entry)): chosen[group]}
    return entry


def _forced(override: Override) -> str:
    if override.is_delete():
        return str(override.input_line)
    return f"++{override.key_or_group}={override.get_value_element_as_str()}"


def _mentioned(defaults: Sequence[Any], conf: Path | None) -> dict[str, str | None]:
    """The groups of a defaults list, and of the files it includes by name. Raises ConfigError for unknown ones."""
    found = listed(defaults)
    for group, choice in found.items():
        if group.startswith("hydra/"):
            raise ConfigError(f"{PRIMARY}: {group} has no meaning here", "take it out of the defaults")
        if group not in groups(conf):
            raise ConfigError(f"{PRIMARY}: there is no group {group!r}", nearest(group, groups(conf), kind="groups"))
        if choice is not None and group != "data":
            check_choice(conf, group, choice, f"{PRIMARY}: defaults")
    for entry in defaults:
        if isinstance(entry, str) and entry != "_self_" and conf is not None:
            included = conf / f"{entry.lstrip('/')}.yaml"
            if not included.is_file():
                raise ConfigError(f"{PRIMARY}: defaults name {entry!r}, and there is no {included.name}", "add it")
            found = {**_mentioned(read_settings(included).get("defaults") or [], conf), **found}
    return found


def _hydra(plan: _Plan, conf: Path | None) -> DictConfig:
    searchpath = [f"file://{folder}" for folder in (conf, PACKAGED) if folder is not None]
    with tempfile.TemporaryDirectory(prefix="tidemill-conf-") as folder, _one_at_a_time, _understood(folder):
        primary = Path(folder) / PRIMARY
        OmegaConf.save(OmegaConf.create({**plan.primary, "hydra": {"searchpath": searchpath}}), primary)
        with initialize_config_dir(folder, job_name="tidemill", version_base="1.3"):
            settings = hydra_compose("config", overrides=plan.values)
    OmegaConf.set_struct(settings, False)
    return settings


@contextmanager
def _understood(folder: str) -> Iterator[None]:
    """What Hydra and OmegaConf raise as a ConfigError; `folder` is the one that stands for the project's conf."""
    try:
        yield
    except yaml.YAMLError as error:
        raise broken(None, error) from None
    except (HydraException, OmegaConfBaseException) as error:
        lines = [line.strip() for line in str(error).replace(folder, "conf").splitlines() if line.strip()]
        raise ConfigError(f"the configuration cannot be composed: {lines[0]}", " ".join(lines[1:3])) from None


def _refuse_targets(plain: Any, path: str) -> None:
    if isinstance(plain, Mapping):
        for key, value in plain.items():
            if str(key).startswith("_") and str(key).endswith("_"):
                raise ConfigError(
                    f"{path or 'the configuration'}: {key} is refused, nothing is instantiated from settings",
                    "choose a model, optimizer or callback by its name",
                )
            _refuse_targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(plain, list):
        for number, value in enumerate(plain):
            _refuse_targets(value, f"{path}[{number}]")


def _origin(path: str, given: Sequence[Override], chosen: Mapping[str, str], conf: Path | None) -> str:
    """The argument that set `path`, or the file and the path, or the path alone."""
    for override in reversed(given):
        key = override.key_or_group
        if arguments.is_group(override, conf) and path != f"{key}.kind":
            continue  # it chose a file, which may hold the path
        if path == key or path.startswith(f"{key}.") or (path == f"{key}.kind" and key in GROUPS):
            return str(override.input_line)
    if conf is not None:
        files = [("", conf / PRIMARY)]
        files += [(group, conf / group / f"{choice}.yaml") for group, choice in chosen.items() if choice]
        for group, file in files:
            inside = path.removeprefix(f"{group}.") if group and group != "experiment" else path
            if _holds(read_settings(file), inside):
                return f"{file.parent.name}/{file.name}, {path}" if group else f"{PRIMARY}, {path}"
    return path


def _holds(plain: Any, path: str) -> bool:
    for word in path.split("."):
        if not isinstance(plain, Mapping) or word not in plain:
            return False
        plain = plain[word]
    return True
