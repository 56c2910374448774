"""What the checks on entry found, what is done about it, and the one place where findings come together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tidemill.errors import DataError

if TYPE_CHECKING:
    from tidemill.dataset.profile import ColumnProfile

Action = Literal["stop", "leave-out", "note"]
SchemaChoice = Literal["stop", "convert", "new"]
EXAMPLES = 5

DEFAULTS: Mapping[str, Action] = {
    "undecodable": "stop",
    "bad_cells": "stop",
    "no_value": "stop",
    "leakage": "stop",
    "near_leakage": "note",
    "duplicates": "note",
    "near_duplicates": "note",
    "two_labels": "note",
    "equal_rows": "note",
    "few_samples": "note",
    "constant": "note",
    "impossible": "stop",
    "schema": "stop",
    "converted": "note",
    "scale": "note",
}
"""Every check, and what is done about its findings when nothing else is said."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is looked for, and what is done about it; `actions` overrides DEFAULTS.

    `ranges` gives the lowest and the highest value that a column may hold (None: no limit): numbers, or dates as text.
    `name` is the data set whose settings these are.
    """

    actions: Mapping[str, Action] = field(default_factory=dict)
    schema: SchemaChoice = "stop"
    min_samples: int = 10
    near: bool = True
    ranges: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    name: str = "NAME"

    def action(self, check: str) -> Action:
        """What is done about a finding of `check`."""
        return self.actions.get(check, DEFAULTS[check])

    def setting(self, words: str) -> str:
        """Where a user says `words`, for a remedy."""
        return f"in conf/data/{self.name}.yaml:  checks: {{{words}}}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found. `count` is of what the headline names; `examples` are the worst, at most five, but
    all columns of a table that changed."""

    check: str
    action: Action
    count: int
    headline: str
    remedy: str = ""
    examples: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one add, those that stop it first, and what each column was like."""

    findings: tuple[Finding, ...] = ()
    columns: Mapping[str, ColumnProfile] = field(default_factory=dict)

    @property
    def stopping(self) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.action == "stop")


class Inspection:
    """Takes the findings of one add in, and at its end says whether it may go on. `before` is what each column was
    like in the version before; `columns` what it is like now."""

    def __init__(self, policy: Policy | None = None, before: Mapping[str, ColumnProfile] | None = None) -> None:
        self.policy = policy or Policy()
        self.before = before or {}
        self.columns: dict[str, ColumnProfile] = {}
        self._findings: list[Finding] = []

    def add(
        self, check: str, count: int, headline: str, remedy: str = "", *,
        examples: Iterable[str] = (), action: Action | None = None, most: int = EXAMPLES, **details: Any,
    ) -> None:  # fmt: skip
        """Take a finding in; `action` is the policy's unless the check knows better, `most` examples are kept."""
        few = tuple(examples)[:most]
        self._findings.append(
            Finding(check, action or self.policy.action(check), count, headline, remedy, few, details)
        )

    def leaves_out(self, check: str) -> bool:
        """Whether what `check` finds is to be left out."""
        return self.policy.action(check) == "leave-out"

    def report(self) -> Report:
        """Everything found so far."""
        order = {"stop": 0, "leave-out": 1, "note": 2}
        return Report(tuple(sorted(self._findings, key=lambda each: order[each.action])), dict(self.columns))

    def refuse(self, path: object) -> None:
        """Raises DataError when a finding stops the add: its own words when it is the only one."""
        stopping = self.report().stopping
        if len(stopping) == 1:
            raise DataError(stopping[0].headline, stopping[0].remedy)
        if stopping:
            raise DataError(_together(path, stopping), "\n       ".join(_remedies(stopping)))


def _together(path: object, findings: Sequence[Finding]) -> str:
    return f"{path} has {len(findings)} problems: " + "; ".join(each.headline for each in findings)


def _remedies(findings: Sequence[Finding]) -> list[str]:
    return list(dict.fromkeys(f"{each.check}: {each.remedy}" for each in findings if each.remedy))
