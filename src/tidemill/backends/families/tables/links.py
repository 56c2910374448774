"""Links of a run's chain of weight digests: for boosted trees as they grow, for a fitted pipeline one at the end."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import skops.io
import xgboost

if TYPE_CHECKING:
    from tidemill.backends.families._chain import Chain

_EVERY = 50  # trees


class TreeLinks(xgboost.callback.TrainingCallback):
    """Links each fifty trees, by their own bytes: earlier ones do not change any more."""

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self._chain, self._linked = chain, 0

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if (epoch + 1) % _EVERY == 0:
            self._link(model, epoch + 1)
        return False

    def after_training(self, model: Any) -> Any:
        self._link(model, model.num_boosted_rounds())
        return model

    def _link(self, model: Any, until: int) -> None:
        if until > self._linked:
            self._chain.add(until, (bytes(model[self._linked : until].save_raw("ubj")),))
            self._linked = until


def link_pipeline(chain: Chain, pipeline: Any) -> None:
    """One link for everything in a fitted pipeline: its settings and its arrays, in the order in which skops has them.

    skops names arrays and objects by their addresses in memory, which are left out.
    """
    with ZipFile(BytesIO(skops.io.dumps(pipeline))) as archive:
        members = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
        schema = json.loads(archive.read("schema.json"))
    chain.add(1, (json.dumps(_without_addresses(schema, members), sort_keys=True).encode(),))


def _without_addresses(node: Any, members: dict[str, str]) -> Any:
    if isinstance(node, dict):
        kept = {key: _without_addresses(value, members) for key, value in node.items() if key != "__id__"}
        return {key: members.get(value, value) if key == "file" else value for key, value in kept.items()}
    if isinstance(node, list):
        return [_without_addresses(each, members) for each in node]
    return node
