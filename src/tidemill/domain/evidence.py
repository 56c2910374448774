"""What a promotion rests on: challenger and champion on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tidemill.domain.digest import Digest


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of a promotion: its name, whether it held, and one line that says with which figures."""

    name: str
    held: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The comparison of two versions on the rows of one data version's test split.

    For classification `challenger` and `champion` are accuracies; for regression root mean squared errors.
    `champion` is None for the first version of a name. `difference` is challenger minus champion with a 95 % interval.
    `only_challenger` and `only_champion` count rows that only one of them has right (McNemar's discordant pairs).
    """

    metric: str
    dataset: str
    dataset_digest: Digest
    rows: int
    challenger_version: int
    challenger: float
    champion_version: int | None
    champion: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    only_challenger: int | None
    only_champion: int | None
    per_class: Mapping[str, Mapping[str, float | None]]
    checks: tuple[Check, ...]

    @property
    def held(self) -> bool:
        return all(check.held for check in self.checks)
