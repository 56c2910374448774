"""What follows the ledger: MLflow's aliases, and the manifests that servers watch.

Both are derived. A command that is killed between the ledger's line and these leaves them behind by one step, and the
next command takes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.deployment import Deployment
from tidemill.domain.record import to_plain
from tidemill.domain.registry import MOVES, Event, fold
from tidemill.files import locked, write_atomic
from tidemill.project.layout import Layout
from tidemill.project.noticing import changed, listings, notice, shown, wanted
from tidemill.project.registry import events, ledger, tracking_uri

if TYPE_CHECKING:
    from tidemill.backends.registries.listing import Listing

Pointed = Mapping[str, int | None]


def reconcile(layout: Layout, name: str | None = None) -> None:
    """Let manifests and aliases of `name`, or of every model, follow the ledger. Quick when they do already.

    What somebody else changed in MLflow since it was last set from here is entered in the ledger before.
    """
    found = events(layout, name)
    names = _by_model(found)
    if not names:
        return
    listed, pointed = listings(layout, names), ledger(layout).pointed()
    if all(_in_step(layout, each, found, listed.get(each), pointed.get(each)) for each in names):
        return
    with locked(layout.locks / "reconcile", what="the registry"):
        # Again, since somebody else may have been here, and the ledger first: a version is in MLflow before it is in
        # the ledger, so that one which the ledger names and MLflow, asked later, does not know was deleted there.
        found = events(layout, name)
        listed, pointed = listings(layout, names), ledger(layout).pointed()
        for each in names:
            own = [event for event in found if event.model == each]
            _follow(layout, each, own, listed.get(each), pointed.get(each))


def publish(layout: Layout, name: str) -> None:
    """Let the manifests of `name` follow the ledger, which needs no MLflow; `reconcile` does the rest."""
    with locked(layout.locks / "reconcile", what="the registry"):
        _publish(layout, name, events(layout, name))


def _follow(layout: Layout, name: str, own: Sequence[Event], listing: Listing | None, pointed: Pointed | None) -> None:
    if changed(listing, fold(own), pointed):
        assert pointed is not None
        notice(layout, name, listing, own, pointed)
        own = events(layout, name)
    if _in_step(layout, name, own, listing, pointed):
        return
    _publish(layout, name, own)
    aims, there = wanted(fold(own)), shown(listing)
    # Only what differs: who moves another alias meanwhile shall not find it put back.
    if others := {alias: number for alias, number in aims.items() if there[alias] != number}:
        _point(layout, name, others)
    ledger(layout).set_pointed(name, aims)


def _by_model(found: Iterable[Event]) -> list[str]:
    return list(dict.fromkeys(event.model for event in found if event.kind == "registered"))


def _in_step(
    layout: Layout, name: str, found: Sequence[Event], listing: Listing | None, pointed: Pointed | None
) -> bool:
    own = [event for event in found if event.model == name]
    state = fold(own)
    aims = wanted(state)
    if pointed != aims or shown(listing) != aims or changed(listing, state, pointed):
        return False
    try:
        return all(
            _read(manifest) == (None if deployment is None else _content(deployment))
            for manifest, deployment in _manifests(layout, name, own)
        )
    except OSError:
        return False


def _publish(layout: Layout, name: str, own: Sequence[Event]) -> None:
    from tidemill.project.bundles import local_bundle

    state = fold(own)
    for manifest, deployment in _manifests(layout, name, own):
        if deployment is None:
            manifest.unlink(missing_ok=True)
        elif _read(manifest) != _content(deployment):
            local_bundle(layout, state.versions[deployment.version])
            write_atomic(manifest, _content(deployment))


def _point(layout: Layout, name: str, aims: Pointed) -> None:
    from tidemill.backends.registries.mlflow import MlflowRegistry

    registry = MlflowRegistry(tracking_uri(layout))
    for alias, number in aims.items():
        registry.point(name, alias, number)


def _manifests(layout: Layout, name: str, own: Sequence[Event]) -> list[tuple[Path, Deployment | None]]:
    """Each alias's manifest with what it must say; None where it must not be."""
    state = fold(own)
    found: list[tuple[Path, Deployment | None]] = []
    for alias, number in wanted(state).items():
        manifest = layout.serving / name / f"{alias}.json"
        if number is None:
            found.append((manifest, None))
            continue
        version, line = state.versions[number], _came(alias, own)
        place = os.path.relpath(layout.bundle(version.bundle), manifest.parent)
        found.append((manifest, Deployment(name, alias, number, version.bundle, place, line.at, line.sequence)))
    return found


def _came(alias: str, own: Sequence[Event]) -> Event:
    """The line by which the alias came to mean what it means."""
    first = [] if alias == "challenger" else ["registered"]
    return next(event for event in reversed(own) if event.kind in MOVES and event.kind not in first)


def _content(deployment: Deployment) -> bytes:
    return (json.dumps(to_plain(deployment), indent=1, ensure_ascii=False) + "\n").encode()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
