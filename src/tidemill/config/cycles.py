"""Finds which of the configuration's files include each other without end: Hydra only recurses until it may not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tidemill.config.groups import PACKAGED
from tidemill.config.reading import read_settings
from tidemill.errors import ConfigError


def endless(conf: Path) -> ConfigError:
    """What is wrong with the defaults lists of the project's `conf`, which do not come to an end."""
    for path in sorted(conf.rglob("*.yaml")):
        if circle := _circle(conf, path.relative_to(conf).with_suffix("").as_posix(), ()):
            first, *others = circle
            way = f"come back to it by way of {', '.join(f'{each}.yaml' for each in others)}" if others else "name it"
            remedy = "take that entry out of its defaults"
            if not others and (PACKAGED / f"{first}.yaml").is_file():
                remedy = (
                    "it stands in place of the packaged one and cannot extend it: "
                    "give it another name, or take the entry out and write all its settings"
                )
            return ConfigError(f"{conf.name}/{first}.yaml: its own defaults {way}", remedy)
    return ConfigError("the configuration's files include each other without end", "look at their defaults lists")


def _circle(conf: Path, name: str, above: tuple[str, ...]) -> tuple[str, ...]:
    """The files of a circle that the first of `above` is in, from itself on; nothing when there is none."""
    if name in above:
        return above if above[0] == name else ()
    for folder in (conf, PACKAGED):
        if (file := folder / f"{name}.yaml").is_file():
            inside = _included(read_settings(file).get("defaults"), name)
            return next((found for each in inside if (found := _circle(conf, each, (*above, name)))), ())
    return ()


def _included(defaults: Any, name: str) -> Iterator[str]:
    """What a defaults list of the file `name` includes, by path below conf; a group is relative to the file's own."""
    for entry in defaults if isinstance(defaults, list) else ():
        pairs = entry.items() if isinstance(entry, Mapping) else [(entry, None)]
        for key, choice in pairs:
            words = str(key).split()
            if words[0] == "override" or words[-1] == "_self_":
                continue
            group = words[-1].partition("@")[0]
            place = group.lstrip("/") if group.startswith("/") else f"{name.rpartition('/')[0]}/{group}".lstrip("/")
            chosen = choice if isinstance(choice, list) else [choice]
            for each in chosen if isinstance(entry, Mapping) else [""]:
                yield f"{place}/{each}".rstrip("/").removesuffix(".yaml")
