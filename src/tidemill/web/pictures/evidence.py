"""What a promotion rests on, as the table shows it."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.domain.evidence import Check, Evidence

PAIRED = ("better", "not worse")


@dataclass(frozen=True, slots=True)
class ClassLine:
    """One class under champion and challenger; None where a version has no figure for it."""

    label: str
    champion: float | None
    challenger: float | None

    @property
    def difference(self) -> float | None:
        """Challenger minus champion."""
        if self.champion is None or self.challenger is None:
            return None
        return self.challenger - self.champion


def lowest_class(evidence: Evidence) -> ClassLine | None:
    """The class that either version does worst at; None without classes."""
    lines = [
        ClassLine(label, figures.get("champion"), figures.get("challenger"))
        for label, figures in evidence.per_class.items()
    ]
    known = [line for line in lines if line.challenger is not None]
    return min(known, key=_worst, default=None)


def _worst(line: ClassLine) -> tuple[float, float]:
    figures = [figure for figure in (line.champion, line.challenger) if figure is not None]
    return min(figures), sum(figures)


def split_checks(evidence: Evidence) -> tuple[Check | None, tuple[Check, ...]]:
    """The check that speaks of the paired test, whose figures the table shows by themselves, and the others."""
    test = next((check for check in evidence.checks if check.name in PAIRED), None)
    return test, tuple(check for check in evidence.checks if check is not test)


def improves(evidence: Evidence) -> bool:
    """Whether the challenger's figure is the better one: a higher accuracy, a lower error."""
    difference = evidence.difference
    if difference is None:
        return False
    return difference > 0 if evidence.metric == "accuracy" else difference < 0
