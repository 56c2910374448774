"""The way down: which model versions, and which answers, came of a data version or of a model version."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tidemill.domain.digest import Digest
from tidemill.domain.registry import MOVES, Event, fold


@dataclass(frozen=True, slots=True)
class Served:
    """A span in which a version was champion; `until` is None while it is."""

    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Offspring:
    """A model version with its parents and its answers: how many, and when the first and the last were given.

    `foreign` counts answers that bear its number and name another bundle than the ledger does.
    """

    name: str
    number: int
    registered: datetime
    bundle: Digest
    run: str
    dataset: str
    served: tuple[Served, ...]
    answers: int = 0
    foreign: int = 0
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class Descent:
    """What came of `subject`, a data version's tag or a model version, in the order of registration.

    `digest` is that of the data version's rows or of the model version's bundle; None where nothing says it.
    """

    kind: str
    subject: str
    digest: Digest | None
    versions: tuple[Offspring, ...]
    ledger_problem: str = ""

    @property
    def answers(self) -> int:
        return sum(version.answers for version in self.versions)

    @property
    def verified(self) -> bool:
        """Whether the ledger is whole and every answer names the bundle of its version."""
        return not self.ledger_problem and not any(version.foreign for version in self.versions)


def offspring(events: Sequence[Event], dataset: str | None = None) -> list[Offspring]:
    """The registered versions, or those that were trained on `dataset` (a tag), without their answers."""
    found = []
    for event in events:
        if event.kind == "registered" and dataset in (None, event.payload.get("dataset")):
            number = int(event.payload["version"])
            found.append(
                Offspring(
                    name=event.model,
                    number=number,
                    registered=event.at,
                    bundle=Digest(event.payload["bundle"]),
                    run=str(event.payload["run"]),
                    dataset=str(event.payload.get("dataset") or ""),
                    served=served([each for each in events if each.model == event.model], number),
                )
            )
    return found


def served(events: Iterable[Event], number: int) -> tuple[Served, ...]:
    """When version `number` was champion, by the events of its model in order."""
    spans: list[Served] = []
    before: list[Event] = []
    since: datetime | None = None
    for event in events:
        before.append(event)
        if event.kind not in MOVES:
            continue
        champion = fold(before).champion == number
        if champion and since is None:
            since = event.at
        elif not champion and since is not None:
            spans.append(Served(since, event.at))
            since = None
    return (*spans, Served(since, None)) if since is not None else tuple(spans)
