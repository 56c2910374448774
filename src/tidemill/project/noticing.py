"""What others changed in MLflow's registry, in its UI say: aliases that were moved, versions that were deleted.

A change is one that differs from what was last set from here. It counts as if it had been made here, without evidence:
it is entered in the ledger, and manifests follow. MLflow keeps neither who moved an alias nor when, and of a deletion
only when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from tidemill.domain.registry import Event, RegistryState, fold
from tidemill.project.layout import Layout
from tidemill.project.registry import ALIASES, ledger, tracking_uri

if TYPE_CHECKING:
    from tidemill.backends.registries.listing import Listing

WHO = "unknown, in MLflow"
Pointed = Mapping[str, int | None]


def listings(layout: Layout, names: Sequence[str]) -> dict[str, Listing]:
    """What MLflow says of those of `names` that it knows. Raises StorageError."""
    from tidemill.backends.registries.listing import is_database, list_registry

    uri = tracking_uri(layout)
    if is_database(uri):
        return {name: listing for name, listing in list_registry(uri).items() if name in names}
    from tidemill.backends.registries.mlflow import MlflowRegistry

    registry = MlflowRegistry(uri)
    found = {name: registry.listing(name) for name in names}
    return {name: listing for name, listing in found.items() if listing is not None}


def wanted(state: RegistryState) -> dict[str, int | None]:
    """What the aliases shall be, by the ledger."""
    return {"champion": state.champion, "challenger": state.challenger}


def shown(listing: Listing | None) -> dict[str, int | None]:
    """What the aliases are in MLflow."""
    return {alias: listing.aliases.get(alias) if listing else None for alias in ALIASES}


def changed(listing: Listing | None, state: RegistryState, pointed: Pointed | None) -> bool:
    """Whether somebody else changed something: against what was set last, and against what is to be set."""
    return bool(pointed is not None and (_gone(listing, state) or _moved(listing, state, pointed)))


def notice(layout: Layout, name: str, listing: Listing | None, own: Sequence[Event], pointed: Pointed) -> None:
    """Enter what was changed. Who calls holds the lock of `reconcile`."""
    from tidemill.backends.ledgers.sql import user

    state, book = fold(own), ledger(layout)
    when = listing.changed if listing is not None else None
    for gone in _gone(listing, state):
        payload = {"version": gone, "noticed_by": user(), "changed": _later(when, own)}
        book.append("retired", name, payload, check=lambda events: None, who=WHO)
    state = fold(book.events(name))
    for alias, number in _moved(listing, state, pointed).items():
        refused = _why_not(number, state)
        moved = {
            "alias": alias,
            "version": number,
            "replaced": wanted(state)[alias],
            "taken": refused is None,
            "reason": refused,
            "noticed_by": user(),
        }
        book.append("aliased", name, moved, check=lambda events: None, who=WHO)


def _gone(listing: Listing | None, state: RegistryState) -> list[int]:
    there = set(listing.versions) if listing is not None else set()
    return [number for number in sorted(state.versions) if number not in there and number not in state.retired]


def _moved(listing: Listing | None, state: RegistryState, pointed: Pointed) -> dict[str, int | None]:
    now, aims = shown(listing), wanted(state)
    return {alias: now[alias] for alias in ALIASES if now[alias] not in (pointed.get(alias), aims[alias])}


def _why_not(number: int | None, state: RegistryState) -> str | None:
    if number is None or (number in state.versions and number not in state.retired):
        return None
    return f"version {number} holds no bundle of Tidemill's, the alias is put back"


def _later(when: datetime | None, own: Sequence[Event]) -> datetime | None:
    return when if when is not None and (not own or when > own[0].at) else None
