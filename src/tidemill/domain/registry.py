"""The registry as events folded into state: what is champion now, and what was at any time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tidemill.domain.digest import Digest, canonical_json
from tidemill.domain.record import to_plain

EventKind = Literal["registered", "promoted", "refused", "rolled_back", "aliased", "retired", "reported", "decided"]
MOVES: tuple[EventKind, ...] = ("registered", "promoted", "rolled_back", "aliased", "retired")
"""The kinds that change which version an alias means."""
GENESIS = Digest("sha256:" + "0" * 64)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """`number` counts from 1 for each name; `bundle` is the digest of bundle.json, `run` the tracker's run id."""

    name: str
    number: int
    bundle: Digest
    run: str

    def __str__(self) -> str:
        return f"{self.name}/{self.number}"


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the ledger. `payload` holds what the kind needs (docs/architecture.md, Ledger)."""

    sequence: int
    at: datetime
    who: str
    kind: EventKind
    model: str
    payload: Mapping[str, Any]
    previous: Digest
    digest: Digest


def event_digest(
    sequence: int, at: datetime, who: str, kind: str, model: str, payload: Mapping[str, Any], previous: Digest
) -> Digest:
    """The hash of a line: it covers everything in it, and through `previous` everything before it."""
    return Digest.of_bytes(_line(sequence, at, who, kind, model, payload, previous))


def _line(*parts: Any) -> bytes:
    return canonical_json(to_plain(parts))


class Chain:
    """The hashes of the ledger's lines, computed anew at each look. The bytes that are hashed are kept by event."""

    def __init__(self) -> None:
        self._hashed: dict[int, tuple[Event, bytes]] = {}

    def broken_line(self, events: Iterable[Event]) -> int | None:
        """The sequence of the first line of the whole ledger whose hash does not fit, None when all do."""
        previous = GENESIS
        for event in events:
            if event.previous != previous or Digest.of_bytes(self._content(event)) != event.digest:
                return event.sequence
            previous = event.digest
        return None

    def _content(self, event: Event) -> bytes:
        known = self._hashed.get(event.sequence)
        if known is None or known[0] is not event:
            line = _line(event.sequence, event.at, event.who, event.kind, event.model, event.payload, event.previous)
            known = self._hashed[event.sequence] = event, line
        return known[1]


@dataclass(frozen=True, slots=True)
class RegistryState:
    """One model's state. `champions` is the stack that `rollback` walks down: the last one serves.

    `retired` versions were deleted in the registry: they stay known, for what they answered, and can serve no more.
    """

    versions: Mapping[int, ModelVersion] = field(default_factory=dict)
    champions: tuple[int, ...] = ()
    challenger: int | None = None
    retired: frozenset[int] = frozenset()

    @property
    def champion(self) -> int | None:
        return self.champions[-1] if self.champions else None


def fold(events: Iterable[Event], *, until: datetime | None = None) -> RegistryState:
    """The state after `events` of one model, in order, up to and including `until`."""
    versions: dict[int, ModelVersion] = {}
    champions: list[int] = []
    challenger: int | None = None
    retired: set[int] = set()
    for event in events:
        if until is not None and event.at > until:
            break
        number = event.payload.get("version")
        match event.kind:
            case "registered":
                assert isinstance(number, int)
                versions[number] = ModelVersion(
                    event.model, number, Digest(event.payload["bundle"]), str(event.payload["run"])
                )
                challenger = number
            case "promoted":
                assert isinstance(number, int)
                champions.append(number)
                challenger = None if challenger == number else challenger
            case "rolled_back":
                if champions:
                    champions.pop()
            case "aliased" if event.payload.get("taken"):
                if event.payload["alias"] == "challenger":
                    challenger = number
                else:  # taken away, there is none, and nothing to go back to
                    champions = [*champions, number] if number is not None else []
                    challenger = None if challenger == number else challenger
            case "retired":
                assert isinstance(number, int)
                retired.add(number)
                champions = [each for each in champions if each != number]
                challenger = None if challenger == number else challenger
            case _:
                pass
    return RegistryState(versions, tuple(champions), challenger, frozenset(retired))
