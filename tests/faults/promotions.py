"""A project that serves digits, and versions of it that come into service one after the other."""

from __future__ import annotations

from pathlib import Path

from tests.serve.bundles import publish
from tests.serve.conftest import store
from tidemill.project.layout import Layout

from .load import labels_of


def serving_project(root: Path) -> Layout:
    """A project that serves digits@champion, version 1."""
    root.mkdir(parents=True)
    (root / "tidemill.toml").write_text('[project]\nname = "digits"\ntask = "image"\n')
    layout = Layout(root)
    publish(layout.serving, store(layout, seed=1), 1)
    return layout


class Promotions:
    """Puts versions into service, in turn those of a few bundles. `labels` says what each version answers."""

    def __init__(self, layout: Layout, *, bundles: int = 3) -> None:
        self._serving = layout.serving
        self._bundles = [next(layout.bundles.iterdir()), *(store(layout, seed=seed) for seed in range(2, bundles + 1))]
        self._answers = [labels_of(bundle) for bundle in self._bundles]
        assert len(set(map(tuple, self._answers))) == bundles, "their answers tell them apart"
        self.version = 1
        self.labels = {1: self._answers[0]}

    def next(self) -> int:
        """Publish the next version as a promotion does; its number."""
        self.version += 1
        at = (self.version - 1) % len(self._bundles)
        self.labels[self.version] = self._answers[at]
        publish(self._serving, self._bundles[at], self.version)
        return self.version
