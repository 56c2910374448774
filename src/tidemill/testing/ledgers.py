"""The contract of ports.Ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill.domain.registry import GENESIS, Event, event_digest
from tidemill.errors import BusyError

if TYPE_CHECKING:
    from tidemill.ports import Ledger


def check_ledger(ledger: Ledger) -> None:
    """Lines are chained and in order; `check` sees what was there, and may refuse. `ledger` is empty at first."""

    def accept(events: Sequence[Event]) -> None: ...

    def refuse(events: Sequence[Event]) -> None:
        raise BusyError(f"{len(events)} are there already")

    payload = {"version": 1, "bundle": str(GENESIS), "run": "ü", "metrics": {"accuracy": 0.5}}
    ledger.append("registered", "digits", payload, check=accept)
    ledger.append("registered", "cancer", payload, check=accept)
    ledger.append("promoted", "digits", {"version": 1}, check=accept)
    try:
        ledger.append("promoted", "digits", {"version": 2}, check=refuse)
    except BusyError as error:
        assert error.headline == "2 are there already", "check() sees the events of this model, and only these"
    else:
        raise AssertionError("what check() refused was appended")

    events = ledger.events()
    assert [(event.kind, event.model) for event in events] == [
        ("registered", "digits"), ("registered", "cancer"), ("promoted", "digits"),
    ]  # fmt: skip
    assert [event.model for event in ledger.events("digits")] == ["digits", "digits"]
    assert dict(events[0].payload) == payload
    previous = GENESIS
    for event in events:
        assert event.previous == previous
        previous = event_digest(
            event.sequence, event.at, event.who, event.kind, event.model, event.payload, event.previous
        )
        assert event.digest == previous, "a line's digest covers all of it"
