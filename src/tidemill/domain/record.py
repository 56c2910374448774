"""Frozen records to and from plain JSON values, by their type hints alone."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar, Union

from tidemill.domain.digest import Digest

R = TypeVar("R")
_PLAIN = frozenset((str, int, float, bool, type(None)))


def now() -> datetime:
    """The present, in UTC, as every record keeps it."""
    return datetime.now(UTC)


def to_plain(value: Any) -> Any:
    """A record as dicts, lists, strings, numbers and None; a datetime becomes ISO 8601 in UTC."""
    if type(value) in _PLAIN:  # most values: asked first, for a run's spec has thousands
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value) if isinstance(value, Digest) else value


def from_plain(cls: type[R], plain: Any) -> R:
    """The record of type `cls` that `to_plain` wrote. Raises ValueError for a wrong shape, and for an unknown field."""
    return typing.cast(R, _build(cls, plain, cls.__name__))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _build(hint: Any, plain: Any, where: str) -> Any:  # noqa: PLR0911 - one return a kind of hint reads best
    origin = typing.get_origin(hint)
    if hint is Any:
        return plain
    if origin in (Union, types.UnionType):
        return _build_union(hint, plain, where)
    if origin is typing.Literal:
        if plain not in typing.get_args(hint):
            raise ValueError(f"{where} must be one of {', '.join(map(str, typing.get_args(hint)))}, not {plain!r}")
        return plain
    if origin in (tuple, list):
        item = typing.get_args(hint)[0]
        if not isinstance(plain, list | tuple):
            raise ValueError(f"{where} must be a list")
        return origin(_build(item, each, f"{where}[{i}]") for i, each in enumerate(plain))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(plain, Mapping):
            raise ValueError(f"{where} must be an object")
        return {str(key): _build(typing.get_args(hint)[1], item, f"{where}.{key}") for key, item in plain.items()}
    if dataclasses.is_dataclass(hint):
        return _build_record(typing.cast(type, hint), plain, where)
    return _build_scalar(hint, plain, where)


def _build_union(hint: Any, plain: Any, where: str) -> Any:
    problems = []
    for option in typing.get_args(hint):
        if option is type(None):
            if plain is None:
                return None
            continue
        try:
            return _build(option, plain, where)
        except ValueError as problem:
            problems.append(str(problem))
    raise ValueError(problems[-1] if problems else f"{where} must be null")


def _build_record(cls: type, plain: Any, where: str) -> Any:
    if not isinstance(plain, Mapping):
        raise ValueError(f"{where} must be an object")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in plain:
        if key not in fields:
            raise ValueError(f"{where} has an unknown field {key!r}")
    values = {}
    for name, field in fields.items():
        if name in plain:
            values[name] = _build(_hints(cls)[name], plain[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where} lacks the field {name!r}")
    return cls(**values)


def _build_scalar(hint: Any, plain: Any, where: str) -> Any:
    if hint is datetime and isinstance(plain, str):
        return datetime.fromisoformat(plain)
    if hint is Digest and isinstance(plain, str):
        return Digest(plain)
    if hint is float and isinstance(plain, int | float) and not isinstance(plain, bool):
        try:
            return float(plain)
        except OverflowError:
            raise ValueError(f"{where} is too large") from None
    if hint is int and isinstance(plain, bool):
        raise ValueError(f"{where} must be a whole number")
    if isinstance(hint, type) and isinstance(plain, hint):
        return plain
    raise ValueError(f"{where} must be {getattr(hint, '__name__', hint)}, not {type(plain).__name__}")
