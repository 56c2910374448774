"""Lineages for the loop's page, rechecked in the background: hashing files must not hold a page up."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tidemill.errors import TidemillError
from tidemill.project import viewing
from tidemill.project.layout import Layout
from tidemill.project.viewing.records import LineageView

_FRESH = 30.0  # seconds that a picture of the latest answer may stand while newer ones come


class Lineages:
    """The last lineage of each model, at most half a minute behind its newest answer."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._pool = ThreadPoolExecutor(1, "lineage")
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, LineageView]] = {}
        self._asked: set[str] = set()

    def latest(self, model: str, prediction_id: str | None) -> LineageView | None:
        """The lineage of the model's newest answer, or of one shortly before; None until one has been walked."""
        if prediction_id is None:
            return None
        with self._lock:
            at, view = self._known.get(model, (0.0, None))
            stale = view is None or (view.prediction != prediction_id and time.monotonic() - at > _FRESH)
            if stale and model not in self._asked:
                self._asked.add(model)
                self._pool.submit(self._walk, model, prediction_id)
        return view

    def _walk(self, model: str, prediction_id: str) -> None:
        try:
            view = viewing.lineage_view(self._layout, prediction_id)
        except TidemillError as error:
            view = LineageView(prediction_id, (), (error.headline,))
        finally:
            with self._lock:
                self._asked.discard(model)
        with self._lock:
            self._known[model] = (time.monotonic(), view)
