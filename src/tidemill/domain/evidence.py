"""What a promotion rests on: challenger and champion on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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

    `challenger` and `champion` are values of `metric`: accuracies by default, for regression root mean squared errors.
    `champion` is None for the first version of a name. `difference` is challenger minus champion with a 95 % interval.
    `only_challenger` and `only_champion` count rows that only one of them has right (McNemar's discordant pairs).
    `per_class` and `slices` hold rows and both figures; `size_mb` and `latency_ms` are by "challenger" and "champion",
    the latter medians of single requests, all on the same machine, one after the other.
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
    mode: str = "superiority"
    alpha: float | None = None
    slices: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    size_mb: Mapping[str, float] = field(default_factory=dict)
    latency_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        return all(check.held for check in self.checks)
