"""Plain values to the typed configuration; what does not fit is named by argument or file, with the nearest known."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, Union

from tidemill.config.architectures import ARCHITECTURES
from tidemill.config.schema import Config
from tidemill.errors import ConfigError, nearest

T = TypeVar("T")
Origin = Callable[[str], str]
"""Where the value at a dotted path was set, as a person knows it: an argument, or a file and the path."""

_NOUNS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def checked(plain: Mapping[str, Any], origin: Origin) -> Config:
    """The configuration that `plain` describes. Raises ConfigError for the first thing that does not fit."""
    config: Config = _record(Config, plain, "", origin)
    return dataclasses.replace(config, model=_checked_model(config, origin))


def _checked_model(config: Config, origin: Origin) -> Any:
    kind = config.model.kind
    architecture = ARCHITECTURES.get(kind)
    mine = [name for name, each in ARCHITECTURES.items() if config.task in each.tasks]
    if architecture is None:
        raise ConfigError(f"{origin('model.kind')}: no model {kind!r}", nearest(kind, mine, kind="models"))
    if config.task not in architecture.tasks:
        raise ConfigError(
            f"{origin('model.kind')}: {kind} is a model for {' and '.join(architecture.tasks)}, "
            f"this project's task is {config.task}",
            f"models for {config.task}: {', '.join(mine)}",
        )
    params = _record(architecture.params, config.model.params, "model.params", origin)
    return dataclasses.replace(config.model, params=dataclasses.asdict(params))


@cache
def known_paths() -> tuple[str, ...]:
    """Every setting by its dotted path, the models' own settings among them."""
    paths = list(_paths(Config, ""))
    for architecture in ARCHITECTURES.values():
        paths += _paths(architecture.params, "model.params")
    return tuple(dict.fromkeys(paths))


def nearest_setting(path: str, *, among: typing.Iterable[str] | None = None) -> str:
    """A remedy that names the settings nearest to `path`: one with the same last word first."""
    known = list(among if among is not None else known_paths())
    last = path.rpartition(".")[2]
    same = [each for each in known if each.rpartition(".")[2] == last]
    if same:
        return f"did you mean {' or '.join(same[:3])}?"
    likeness = {each: max(_likeness(each, path), _likeness(each.rpartition(".")[2], last)) for each in known}
    best = max(likeness.values(), default=0.0)
    if best >= 0.6:
        found = [each for each in known if likeness[each] >= max(0.6, best - 0.05)]
        return f"did you mean {' or '.join(found[:3])}?"
    return "tidemill train --help-config  lists every setting"


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


@cache
def hints(cls: type) -> dict[str, Any]:
    """The resolved type hints of a dataclass of the schema."""
    return typing.get_type_hints(cls)


def _paths(cls: type, prefix: str) -> typing.Iterator[str]:
    for each in dataclasses.fields(cls):
        path = f"{prefix}.{each.name}" if prefix else each.name
        hint = hints(cls)[each.name]
        if dataclasses.is_dataclass(hint):
            yield from _paths(typing.cast(type, hint), path)
        elif path != "model.params":
            yield path


def _record(cls: type[T], plain: Any, where: str, origin: Origin) -> T:
    if not isinstance(plain, Mapping):
        raise ConfigError(f"{origin(where)}: must be a section, not {plain!r}", "write its settings below it, indented")
    fields = {each.name: each for each in dataclasses.fields(typing.cast(Any, cls))}
    for key in plain:
        if key not in fields:
            raise _unknown(f"{where}.{key}" if where else str(key), cls, origin)
    values = {}
    for name, each in fields.items():
        path = f"{where}.{name}" if where else name
        if name in plain:
            values[name] = _value(hints(typing.cast(type, cls))[name], plain[name], path, origin, each.metadata)
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise ConfigError(f"the setting {path} is missing", f"give it on the command line:  {path}=…")
    return cls(**values)


def _unknown(path: str, cls: type, origin: Origin) -> ConfigError:
    """The settings of a model are its own: the error names the model, and those that have the setting."""
    model = next((name for name, each in ARCHITECTURES.items() if each.params is cls), None)
    if model is None:
        return ConfigError(f"{origin(path)}: there is no setting {path}", nearest_setting(path))
    last, own = path.rpartition(".")[2], _names(cls)
    others = [f"model={name}" for name, each in ARCHITECTURES.items() if last in _names(each.params)]
    said = f"{origin(path)}: there is no setting {last} in model={model}"
    if difflib.get_close_matches(last, own):
        return ConfigError(said, nearest_setting(path, among=[f"model.params.{name}" for name in own]))
    known = f"settings of {model}: {', '.join(own)}"
    return ConfigError(said, f"{known}; {last} belongs to {' and '.join(others)}" if others else known)


def _names(cls: type) -> list[str]:
    return [each.name for each in dataclasses.fields(cls)]


def _value(hint: Any, plain: Any, path: str, origin: Origin, limits: Mapping[str, Any]) -> Any:
    if hint is Any:
        return plain
    if dataclasses.is_dataclass(hint):
        return _record(typing.cast(type, hint), plain, path, origin)
    if typing.get_origin(hint) is typing.Literal:
        allowed = typing.get_args(hint)
        if type(plain) in (int, float) and str(plain) in allowed:
            plain = str(plain)  # YAML takes the choice 16 for a number
        if plain not in allowed:
            raise ConfigError(
                f"{origin(path)}: must be one of {', '.join(map(str, allowed))}, not {plain!r}",
                nearest(str(plain), [str(each) for each in allowed], kind="choices"),
            )
        return plain
    if typing.get_origin(hint) is list:
        return _list(typing.get_args(hint)[0], plain, path, origin, limits)
    if typing.get_origin(hint) in (Union, types.UnionType, dict):
        if not isinstance(plain, Mapping):
            raise ConfigError(f"{origin(path)}: must be a section, not {plain!r}", "write its settings below it")
        inner = typing.get_args(hint)[1] if typing.get_origin(hint) is dict else Any
        return {key: _value(inner, each, f"{path}.{key}", origin, {}) for key, each in plain.items()}
    return _limited(_scalar(hint, plain, path, origin), path, origin, limits)


def _list(hint: Any, plain: Any, path: str, origin: Origin, limits: Mapping[str, Any]) -> list[Any]:
    longest = limits.get("longest")
    if not isinstance(plain, list | tuple) or (limits and not plain) or (longest and len(plain) > longest):
        size = f" of one to {longest} values" if longest else ""
        raise ConfigError(f"{origin(path)}: must be a list{size}, not {plain!r}", f"write it so:  {path}=[…,…]")
    return [_value(hint, each, path, origin, limits) for each in plain]


def _scalar(hint: type, plain: Any, path: str, origin: Origin) -> Any:
    if hint is float and isinstance(plain, int | float) and not isinstance(plain, bool):
        return float(plain)
    if hint is int and isinstance(plain, float) and plain.is_integer():
        return int(plain)
    if hint is str and isinstance(plain, int | float) and not isinstance(plain, bool):
        return str(plain)
    if isinstance(plain, hint) and not (hint is int and isinstance(plain, bool)):
        return plain
    raise ConfigError(f"{origin(path)}: must be {_NOUNS[hint]}, not {plain!r}", f"give {path} {_NOUNS[hint]}")


def _limited(value: Any, path: str, origin: Origin, limits: Mapping[str, Any]) -> Any:
    if not limits:
        return value
    low, high, above = limits["low"], limits["high"], limits["above"]
    bounds = [f"at least {low}"] * (low is not None) + [f"greater than {above}"] * (above is not None)
    bounds += [f"at most {high}"] * (high is not None)
    fits = math.isfinite(value) and (low is None or value >= low) and (high is None or value <= high)
    if not fits or (above is not None and value <= above):
        raise ConfigError(f"{origin(path)}: must be {' and '.join(bounds) or 'finite'}, not {value}", f"change {path}")
    return value
