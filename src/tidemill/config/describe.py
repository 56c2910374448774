"""Every setting with its type, default and comment, read from the schema itself."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import typing
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

from tidemill.config.architectures import ARCHITECTURES
from tidemill.config.check import hints
from tidemill.config.schema import Config


class Setting(NamedTuple):
    """One setting; `default` is empty when it must be given."""

    path: str
    type: str
    default: str
    comment: str


def settings() -> list[Setting]:
    """Every setting of the schema, in its order, and then those of each model."""
    found = list(_of(Config, ""))
    for kind, architecture in ARCHITECTURES.items():
        found += [
            each._replace(comment=f"model={kind}" + (f": {each.comment}" if each.comment else ""))
            for each in _of(architecture.params, "model.params")
        ]
    return found


def _of(cls: type, prefix: str) -> Iterator[Setting]:
    for field in dataclasses.fields(cls):
        path = f"{prefix}.{field.name}" if prefix else field.name
        hint = hints(cls)[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _of(typing.cast(type, hint), path)
        elif path != "model.params":
            yield Setting(
                path,
                _type(hint, field.metadata),
                _default(field),
                _comments(sys.modules[cls.__module__]).get((cls.__name__, field.name), ""),
            )


def _type(hint: Any, limits: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is list:
        return f"list of {_type(typing.get_args(hint)[0], limits)}"
    low, high, above = (limits.get(name) for name in ("low", "high", "above"))
    start = f"> {above:g}" if above is not None else f">= {low:g}" if low is not None else ""
    end = f"<= {high:g}" if high is not None else ""
    return f"{hint.__name__} {start}{', ' if start and end else ''}{end}".strip()


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return str(field.default_factory())
    if field.default is dataclasses.MISSING:
        return ""
    return "''" if field.default == "" else str(field.default)


@cache
def _comments(module: ModuleType) -> dict[tuple[str, str], str]:
    """(class, field) -> the comment at the end of the field's line."""
    source = inspect.getsource(module)
    lines = source.splitlines()
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    rest = lines[(item.end_lineno or item.lineno) - 1][item.end_col_offset or 0 :]
                    found[node.name, item.target.id] = rest.strip().removeprefix("#").strip()
    return found
