"""What follows the ledger: MLflow's aliases, and the manifests that servers watch.

Both are derived. A command that is killed between the ledger's line and these leaves them behind by one step, and the
next command takes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tidemill.domain.deployment import Deployment
from tidemill.domain.record import to_plain
from tidemill.domain.registry import Event, RegistryState, fold
from tidemill.files import locked, write_atomic
from tidemill.project.layout import Layout
from tidemill.project.registry import events, tracking_uri

_MOVES = ("registered", "promoted", "rolled_back")


def reconcile(layout: Layout, name: str | None = None) -> None:
    """Let manifests and aliases of `name`, or of every model, follow the ledger. Quick when they do already."""
    found = events(layout, name)
    behind = [each for each in _by_model(found) if not _in_step(layout, each, found)]
    if not behind:
        return
    with locked(layout.locks / "reconcile", what="the registry"):
        found = events(layout, name)  # read again: whoever held the lock may have been later than we
        for each in behind:
            own = [event for event in found if event.model == each]
            _publish(layout, each, own)
            _point(layout, each, own)
            write_atomic(_marker(layout, each), json.dumps({"sequence": _last(own, _MOVES)}).encode())


def _by_model(found: Iterable[Event]) -> list[str]:
    return list(dict.fromkeys(event.model for event in found if event.kind == "registered"))


def _in_step(layout: Layout, name: str, found: Sequence[Event]) -> bool:
    own = [event for event in found if event.model == name]
    try:
        if json.loads(_marker(layout, name).read_bytes()) != {"sequence": _last(own, _MOVES)}:
            return False
        return all(
            _read(manifest) == (None if wanted is None else _content(wanted))
            for manifest, wanted in _manifests(layout, name, own)
        )
    except (OSError, ValueError):
        return False


def _publish(layout: Layout, name: str, own: Sequence[Event]) -> None:
    from tidemill.project.bundles import local_bundle

    state = fold(own)
    for manifest, wanted in _manifests(layout, name, own):
        if wanted is None:
            manifest.unlink(missing_ok=True)
        elif _read(manifest) != _content(wanted):
            local_bundle(layout, state.versions[wanted.version])
            write_atomic(manifest, _content(wanted))


def _point(layout: Layout, name: str, own: Sequence[Event]) -> None:
    from tidemill.backends.registries.mlflow import MlflowRegistry

    registry = MlflowRegistry(tracking_uri(layout))
    for alias, number in _aliases(fold(own)):
        registry.point(name, alias, number)


def _aliases(state: RegistryState) -> list[tuple[str, int | None]]:
    return [("champion", state.champion), ("challenger", state.challenger)]


def _manifests(layout: Layout, name: str, own: Sequence[Event]) -> list[tuple[Path, Deployment | None]]:
    """Each alias's manifest with what it must say; None where it must not be."""
    state = fold(own)
    kinds = {"champion": _MOVES[1:], "challenger": _MOVES}
    found: list[tuple[Path, Deployment | None]] = []
    for alias, number in _aliases(state):
        manifest = layout.serving / name / f"{alias}.json"
        if number is None:
            found.append((manifest, None))
            continue
        version = state.versions[number]
        line = next(event for event in reversed(own) if event.kind in kinds[alias])
        place = os.path.relpath(layout.bundle(version.bundle), manifest.parent)
        found.append((manifest, Deployment(name, alias, number, version.bundle, place, line.at, line.sequence)))
    return found


def _content(deployment: Deployment) -> bytes:
    return (json.dumps(to_plain(deployment), indent=1, ensure_ascii=False) + "\n").encode()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _last(own: Sequence[Event], kinds: Sequence[str]) -> int:
    return max((event.sequence for event in own if event.kind in kinds), default=0)


def _marker(layout: Layout, name: str) -> Path:
    """Up to which line MLflow's aliases were set; it may be lost, and then they are set again."""
    return layout.cache / "registry" / f"{name}.json"
