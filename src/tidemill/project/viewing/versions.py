"""Model versions: what the ledger says of them, and what their bundles hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from tidemill.bundle.read import read_record
from tidemill.domain.bundle import Bundle
from tidemill.domain.digest import Digest
from tidemill.domain.registry import Event, RegistryState
from tidemill.errors import BundleError, NotFoundError
from tidemill.project.layout import Layout
from tidemill.project.viewing.records import VersionView


def versions(layout: Layout, events: Sequence[Event], state: RegistryState) -> tuple[VersionView, ...]:
    """Every version that one model's `events` registered, newest first."""
    registered = {event.payload["version"]: event for event in events if event.kind == "registered"}
    return tuple(_version(layout, registered[number], state) for number in sorted(registered, reverse=True))


def promoted_at(events: Sequence[Event], number: int) -> datetime | None:
    """When the version last became champion: by promotion, or by rolling back to it."""
    for event in reversed(events):
        if event.kind == "promoted" and event.payload.get("version") == number:
            return event.at
        if event.kind == "rolled_back" and event.payload.get("to") == number:
            return event.at
    return None


def _version(layout: Layout, event: Event, state: RegistryState) -> VersionView:
    number, digest = int(event.payload["version"]), Digest(event.payload["bundle"])
    directory = layout.bundle(digest)
    bundle = read_bundle(directory)
    aliases = [
        name for name, held in (("champion", state.champion), ("challenger", state.challenger)) if held == number
    ]
    return VersionView(
        number=number,
        aliases=tuple(aliases),
        registered=event.at,
        run=str(event.payload["run"]),
        dataset=str(event.payload.get("dataset", "")),
        bundle=str(digest),
        metrics=dict(bundle.metrics if bundle else event.payload.get("metrics") or {}),
        per_class=bundle.per_class if bundle else {},
        parity=bundle.parity if bundle else None,
        megabytes=sum(file.bytes for file in bundle.files.values()) / 1e6 if bundle else None,
        card=(directory / "card.md").is_file(),
        present=bundle is not None,
    )


def card(layout: Layout, version: VersionView) -> str:
    """The model card of a version, Markdown. Raises NotFoundError when its bundle is not on this machine."""
    try:
        return (layout.bundle(Digest(version.bundle)) / "card.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise NotFoundError(f"version {version.number} has no model card here", "see /models") from None


def read_bundle(directory: Path) -> Bundle | None:
    """The record of the bundle at `directory`, which its folder's name vouches for; None when it is not there."""
    return _read(directory) if directory.is_dir() else None


@lru_cache(maxsize=256)
def _read(directory: Path) -> Bundle | None:
    try:
        bundle, digest = read_record(directory)
    except BundleError:
        return None
    return bundle if digest.hex == directory.name else None
