"""Overrides of the command line, read with Hydra's grammar and checked; and the grid they span with `-m`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString
from hydra.errors import HydraException

from tidemill.config.check import known_paths, nearest_setting
from tidemill.config.describe import settings
from tidemill.config.groups import GROUPS, check_choice, groups, suited
from tidemill.config.space import Dimension, dimension, points
from tidemill.domain.dataset import Task
from tidemill.errors import ConfigError, InputError


def parsed(arguments: Sequence[str]) -> list[Override]:
    """Raises ConfigError for an argument that is not of the form group=choice or a.b=value."""
    found: list[Override] = []
    for argument in arguments:
        try:
            found += OverridesParser.create().parse_overrides([argument])
        except HydraException as error:
            first = str(error).strip().splitlines()[0]
            raise ConfigError(
                f"{argument!r} cannot be read as a setting ({first})",
                "settings look like  model=resnet18  or  trainer.max_epochs=10;  quote text with spaces",
            ) from None
    return found


def is_group(override: Override, conf: Path | None) -> bool:
    """Whether it chooses a file of a group, and does not set a value."""
    return override.key_or_group in groups(conf)


def check(override: Override, conf: Path | None) -> None:
    """Raises ConfigError for an unknown group, choice or setting, and for several values without `-m`."""
    line, key = str(override.input_line), override.key_or_group
    if override.is_sweep_override():
        raise ConfigError(f"{line}: gives several values", "add -m to train each of them, or give one")
    if override.is_hydra_override():
        raise ConfigError(f"{line}: Hydra's own settings have no meaning here", "leave it out")
    if is_group(override, conf):
        _check_group(override, conf, line)
    elif not any(path == key or path.startswith(f"{key}.") for path in known_paths()) and not _is_model_param(key):
        hint = nearest_setting(key, among=[*GROUPS, *known_paths()])
        raise ConfigError(f"{line}: there is no setting or group {key!r}", hint)


def _check_group(override: Override, conf: Path | None, line: str) -> None:
    value = override.value()
    if override.is_delete() or value is None:
        if override.key_or_group != "experiment":
            raise ConfigError(
                f"{line}: the group {override.key_or_group} cannot be left out", "choose one of its files"
            )
        return
    if override.key_or_group != "data" or not isinstance(value, str):
        check_choice(conf, override.key_or_group, str(value), line)


def _is_model_param(key: str) -> bool:
    return key.startswith("model.params.")  # checked against the architecture, once that is known


def expand(
    arguments: Sequence[str], *, conf: Path | None = None, params: Sequence[str] = (), task: Task | None = None,
    number: int = 5,
) -> list[list[str]]:  # fmt: skip
    """The grid: one list of plain overrides for each combination; `params` come from the file, arguments win.

    Lists `a,b`, `choice()`, `range()` and `glob()`, for values and for whole groups, with `sort`, `shuffle` and `tag`;
    `interval()` stands for `number` values spread over it, its ends among them. Raises ConfigError for a list that
    holds nothing. With `task`, globs leave out the models for other tasks.
    """
    axes = _axes([*params, *arguments], conf, task, number)
    return [list(row) for row in itertools.product(*axes)]


def first(
    arguments: Sequence[str], *, conf: Path | None = None, params: Sequence[str] = (), task: Task | None = None
) -> list[str]:  # fmt: skip
    """The first row of that grid, which stands for all where a setting that is swept has no other value."""
    return [axis[0] for axis in _axes([*params, *arguments], conf, task, 2)]


def _axes(arguments: Sequence[str], conf: Path | None, task: Task | None, number: int) -> list[list[str]]:
    """The plain overrides that each argument stands for; of two arguments for the same setting the last counts."""
    axes: dict[str, list[str]] = {}
    for override in parsed(arguments):
        key = override.get_key_element()
        axis = [key] if override.is_delete() else [f"{key}={value}" for value in _values(override, conf, task, number)]
        axes[override.key_or_group] = axis
    return list(axes.values())


def _values(override: Override, conf: Path | None, task: Task | None, number: int) -> list[str]:
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if override.is_interval_sweep():
        return [str(value) for value in points(dimension_of(override, conf, task), number)]
    glob: Any = override.value()
    try:
        if isinstance(glob, Glob):
            found = glob.filter(group_choices(override, conf, task))
        else:
            found = list(override.sweep_string_iterator())
    except (HydraException, ValueError) as error:
        raise ConfigError(f"{override.input_line}: {error}", "check the range") from None
    if not found:
        raise InputError(f"{override.input_line}: stands for no value at all", "check the range or the pattern")
    return found


def dimension_of(override: Override, conf: Path | None, task: Task | None) -> Dimension:
    """What a sweep override may become; `interval()` of a setting that is a whole number holds whole numbers."""
    types = {each.path: each.type for each in settings()} if override.is_interval_sweep() else {}
    whole = types.get(override.key_or_group, "").startswith("int")
    names = group_choices(override, conf, task) if isinstance(override.value(), Glob) else ()
    return dimension(override, whole=whole, names=names)


def group_choices(override: Override, conf: Path | None, task: Task | None) -> list[str]:
    """The choices that `glob()` picks from. Raises ConfigError when its key is no group."""
    if not is_group(override, conf):
        raise ConfigError(f"{override.input_line}: glob() picks among the files of a group", "give a list:  a,b,c")
    return suited(conf, override.key_or_group, task)


def spelled(value: Any) -> str:
    """`value` as it is written behind the = of an override, so that it is read again as the same."""
    text: str = Override._get_value_element_as_str(QuotedString(value, Quote.single) if _needs_quotes(value) else value)
    return text


def _needs_quotes(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        found = parsed([f"x={value}"])[0]
    except ConfigError:
        return True
    return found.is_sweep_override() or found.value() != value
