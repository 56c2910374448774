"""Whether a run can go on as what it was: its record compared with what a run that began now would be made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tidemill.errors import StateError

if TYPE_CHECKING:
    from tidemill.domain.run import Code, RunSpec

_SHOWN = 4


def check_same(recorded: RunSpec, present: RunSpec, *, changed: list[str]) -> None:
    """Raises StateError that names what is not as it was.

    `changed` are the files that differ from the run's commit; later commits that change none are no difference.
    """
    found = differences(recorded, present, changed=changed)
    if found:
        raise StateError(
            f"the run cannot go on as what it was: {'; '.join(found)}",
            "put it back as it was, or go on nevertheless:  tidemill train --resume --anyway",
        )


def differences(recorded: RunSpec, present: RunSpec, *, changed: list[str]) -> list[str]:
    """What is not as the run recorded it, each in a few words."""
    found = []
    if recorded.dataset_digest != present.dataset_digest:
        found.append(f"the data {recorded.dataset} has another content")
    if recorded.code != present.code and (changed or recorded.code.dirty):
        found.append(_code(recorded.code, present.code, changed))
    one, other = recorded.environment, present.environment
    if (one.python, one.platform) != (other.python, other.platform):
        found.append(f"Python {one.python} on {one.platform} became {other.python} on {other.platform}")
    if one.packages != other.packages:
        found.append("packages: " + _some(_packages(one.packages, other.packages)))
    return found


def _code(recorded: Code, present: Code, changed: list[str]) -> str:
    if changed:
        return f"the code differs: {_some(changed)}"
    return f"the code was {recorded.commit[:10]}{'+' if recorded.dirty else ''}, and is " + (
        f"{present.commit[:10]}{'+' if present.dirty else ''}"
    )


def _packages(recorded: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    names = sorted({*recorded, *present})
    return [
        f"{name} {recorded.get(name, 'none')} -> {present.get(name, 'none')}"
        for name in names
        if recorded.get(name) != present.get(name)
    ]


def _some(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
