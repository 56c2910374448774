"""Finds what feedback is about, for a server: in spools first, then in Parquet where Arrow is installed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tidemill.domain.prediction import Feedback, Prediction, is_prediction_id, prediction_time
from tidemill.errors import MissingExtraError
from tidemill.journal.heads import Heads
from tidemill.journal.records import to_feedback, to_prediction
from tidemill.journal.segments import segments
from tidemill.journal.sweep import can_seal
from tidemill.journal.tails import may_hold, spools

if TYPE_CHECKING:
    from tidemill.journal.lookup import Lookup

_HELD = 64 << 20
"""Bytes of heads that are kept between calls; of the spools that were asked for last."""
_NEWEST = 4
"""Spools in which a label is looked for, beside those that hold its prediction."""


class Answers(Protocol):
    """What was answered, by id. Not to be used from two threads at once."""

    def find_all(self, prediction_ids: Iterable[str]) -> dict[str, Prediction]:
        """The predictions with these ids; ids that are not in the log are left out."""

    def labels(self, prediction_ids: Collection[str]) -> dict[str, Feedback]:
        """The latest feedback for each of `prediction_ids` that has one."""


class LoggedAnswers:
    """The log under `root`. Arrow is loaded when something sealed is asked for: most servers never are."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spools = Spools(root)
        self._lookup: Lookup | None = None

    def find_all(self, prediction_ids: Iterable[str]) -> dict[str, Prediction]:
        """Raises MissingExtraError for ids that only a sealed file can hold, where Arrow is not installed."""
        ids = {each for each in prediction_ids if is_prediction_id(each)}
        found = self._spools.find_all(ids)
        missing = ids.difference(found)
        if missing and self._may_be_sealed(missing):
            if not can_seal():
                raise MissingExtraError("feedback on predictions that are in Parquet by now", "parquet")
            found.update(self._sealed().sealed(missing))
        return found

    def labels(self, prediction_ids: Collection[str]) -> dict[str, Feedback]:
        """Of feedback some time ago nothing may be known: given again, it is written again, and changes nothing."""
        rows = self._spools.feedback(prediction_ids)
        if can_seal() and (self._root / "feedback").is_dir():
            rows += self._sealed().sealed_labels(set(prediction_ids))
        return {row["prediction_id"]: to_feedback(row) for row in sorted(rows, key=lambda row: int(row["at"]))}

    def _may_be_sealed(self, ids: Iterable[str]) -> bool:
        times = [prediction_time(each) for each in ids]
        within = (
            any(each.first <= time <= each.last for time in times) for each in segments(self._root, "predictions")
        )
        return any(within)

    def _sealed(self) -> Lookup:
        from tidemill.journal.lookup import Lookup

        self._lookup = self._lookup or Lookup(self._root)
        return self._lookup


class Spools:
    """What is in spools. Only those are read that were written to when a prediction was made."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._heads: OrderedDict[str, Heads] = OrderedDict()

    def find_all(self, ids: Collection[str]) -> dict[str, Prediction]:
        """The predictions with these ids, as far as spools hold them."""
        wanted = {each: prediction_time(each) for each in ids if is_prediction_id(each)}
        found: dict[str, Prediction] = {}
        for path in reversed(spools(self._root)):
            within = [each for each, time in wanted.items() if each not in found and may_hold(path, time, time)]
            if within and (heads := self._advanced(path)):
                found.update((row["id"], to_prediction(row)) for row in heads.rows(within))
        return found

    def feedback(self, ids: Collection[str]) -> list[dict[str, Any]]:
        """The rows of feedback for these ids, in the newest spools and in those that were read lately."""
        for path in spools(self._root)[-_NEWEST:]:
            self._advanced(path)
        return [row for each in self._heads.values() for row in each.feedback if row["prediction_id"] in ids]

    def _advanced(self, path: Path) -> Heads | None:
        """None for a spool that was sealed meanwhile."""
        heads = self._heads.pop(path.stem, None) or Heads(path)
        try:
            heads.advance()
        except FileNotFoundError:
            return None
        self._heads[path.stem] = heads
        while len(self._heads) > 1 and sum(each.held for each in self._heads.values()) > _HELD:
            self._heads.popitem(last=False)
        return heads
