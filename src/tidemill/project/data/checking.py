"""What a project's settings say about checks on entry, and the report that is kept with each version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from tidemill.config.ranges import ends_of
from tidemill.domain.record import from_plain, to_plain
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill.config.schema import ChecksConfig
    from tidemill.dataset.checks.finding import Action, Policy, Report, SchemaChoice
    from tidemill.dataset.profile import ColumnProfile

_ACTIONS = ("undecodable", "bad_cells", "no_value", "leakage", "equal_rows", "near_leakage", "duplicates",
            "near_duplicates", "two_labels", "few_samples", "constant", "impossible", "scale")  # fmt: skip


class Choices(NamedTuple):
    """What the command line says for one add; None leaves it to the data set's settings."""

    on_problem: Literal["stop", "leave-out"] | None = None
    schema: SchemaChoice | None = None


def policy(layout: Layout, name: str, choices: Choices | None) -> Policy:
    """The checks of the data set `name`: `checks` of conf/data/NAME.yaml, and the choices. Raises ConfigError."""
    from tidemill.dataset.checks.finding import DEFAULTS, Policy

    settings = _settings(layout, name)
    given = choices or Choices()
    actions: dict[str, Action] = {check: getattr(settings, check) for check in _ACTIONS}
    if given.on_problem is not None:
        actions = {check: given.on_problem if action != "note" else action for check, action in actions.items()}
        actions["constant"], actions["scale"] = settings.constant, settings.scale  # a column is never left out unasked
    ranges = {column: ends_of(name, column, ends) for column, ends in settings.ranges.items()}
    return Policy(
        {**DEFAULTS, **actions}, given.schema or settings.schema, settings.min_samples, settings.near, ranges, name
    )


def _settings(layout: Layout, name: str) -> ChecksConfig:
    """The section `checks`; composed only where a file says something about it."""
    from tidemill.config.groups import PACKAGED
    from tidemill.config.schema import ChecksConfig

    files = [folder / "data" / f"{name}.yaml" for folder in (layout.conf, PACKAGED)] + [layout.conf / "config.yaml"]
    if not any(file.is_file() for file in files[:2]) or not any(_speaks(file) for file in files):
        return ChecksConfig()
    from tidemill.project.configuration import config

    return config(layout, [f"data={name}"]).data.checks


def _speaks(file: Path) -> bool:
    return file.is_file() and b"checks" in file.read_bytes()


def report_file(layout: Layout, name: str) -> Path:
    """Where the report on the newest version lies, under git: `git show TAG:data/NAME.checks.json` has the others."""
    return layout.data / f"{name}.checks.json"


def report_bytes(report: Report) -> bytes:
    """The report as it is kept."""
    return (json.dumps({"format": 1, **to_plain(report)}, indent=1, ensure_ascii=False) + "\n").encode()


def last_columns(layout: Layout, name: str) -> Mapping[str, ColumnProfile]:
    """What the columns of the newest version were like; nothing where no report says so."""
    from tidemill.dataset.profile import ColumnProfile

    try:
        plain = json.loads(report_file(layout, name).read_bytes())
        columns = cast("Mapping[str, Any]", plain["columns"])
        return {column: from_plain(ColumnProfile, each) for column, each in columns.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
