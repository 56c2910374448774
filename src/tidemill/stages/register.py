"""A bundle becomes a numbered version: in MLflow's registry, then in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tidemill.domain.registry import Event, ModelVersion, fold
from tidemill.errors import StateError

if TYPE_CHECKING:
    from tidemill.bundle.read import OpenBundle
    from tidemill.ports import Ledger, Registry


def register(
    opened: OpenBundle, *, registry: Registry, ledger: Ledger, tags: Mapping[str, str] | None = None
) -> ModelVersion:
    """The new version of `opened`, with `tags` in the registry, and the challenger from now on.

    The registry gives the number, the ledger says that it counts; when the same bundle comes again (after a crash
    between the two, say) it keeps its number and gets no second line.
    """
    bundle = opened.bundle
    name, run = bundle.name, bundle.lineage.run
    told = {**(tags or {}), "tidemill.dataset": bundle.lineage.dataset, "tidemill.task": bundle.task}
    version = ModelVersion(name, registry.register(name, opened.directory, run, told), opened.digest, run)
    known = fold(ledger.events(name)).versions.get(version.number)
    if known is not None:
        return _same(known, version)
    payload = {
        "version": version.number,
        "bundle": version.bundle,
        "run": run,
        "dataset": bundle.lineage.dataset,
        "metrics": dict(bundle.metrics),
    }

    def check(events: Sequence[Event]) -> None:
        raced = fold(events).versions.get(version.number)
        if raced is not None:
            _same(raced, version)

    ledger.append("registered", name, payload, check=check)
    return version


def _same(known: ModelVersion, version: ModelVersion) -> ModelVersion:
    if known != version:
        raise StateError(
            f"the ledger has {known} as another bundle ({known.bundle.short}…) than the registry",
            "registry and ledger belong to different projects: check MLFLOW_TRACKING_URI",
        )
    return known
