"""Finds what feedback is about, for a server: through Arrow where that is installed, else in spools alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from tidemill.domain.prediction import Feedback, Prediction, is_prediction_id, prediction_time
from tidemill.errors import MissingExtraError
from tidemill.journal.heads import Heads
from tidemill.journal.records import to_feedback, to_prediction
from tidemill.journal.segments import segments
from tidemill.journal.spool import SUFFIX
from tidemill.journal.sweep import can_seal
from tidemill.journal.tails import Tail

_KEPT = 4
"""Spools whose heads are kept: some ten megabytes each where they are full."""
_SLACK = timedelta(minutes=1)
"""An id is made before its answer is written, and clocks are set."""


class Answers(Protocol):
    """What was answered, by id. Not to be used from two threads at once."""

    def find_all(self, prediction_ids: Iterable[str]) -> dict[str, Prediction]:
        """The predictions with these ids; ids that are not in the log are left out."""

    def labels(self, prediction_ids: Collection[str]) -> dict[str, Feedback]:
        """The latest feedback for each of `prediction_ids` that has one."""


class LoggedAnswers:
    """The log under `root`. Arrow is loaded at the first call: most servers are never told what was right."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._found: Answers | None = None

    def find_all(self, prediction_ids: Iterable[str]) -> dict[str, Prediction]:
        """Raises MissingExtraError for ids that only a sealed file can hold, where Arrow is not installed."""
        return self._answers().find_all(prediction_ids)

    def labels(self, prediction_ids: Collection[str]) -> dict[str, Feedback]:
        """Without Arrow, of feedback some time ago nothing is known."""
        return self._answers().labels(prediction_ids)

    def _answers(self) -> Answers:
        if self._found is None:
            if can_seal():
                from tidemill.journal.lookup import Lookup

                self._found = Lookup(self._root)
            else:
                self._found = Unsealed(self._root)
        return self._found


class Unsealed:
    """What spools hold. Only those are read that were written to when a prediction was made."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tails: OrderedDict[str, Tail] = OrderedDict()

    def find_all(self, prediction_ids: Iterable[str]) -> dict[str, Prediction]:
        """Raises MissingExtraError for ids that only a sealed file can hold."""
        wanted = {each: prediction_time(each) for each in prediction_ids if is_prediction_id(each)}
        found: dict[str, Prediction] = {}
        for path in sorted((self._root / "spool").glob(f"*{SUFFIX}"), reverse=True):
            within = [each for each, time in wanted.items() if each not in found and _may_hold(path, time)]
            if within and (tail := self._advanced(path)):
                found.update((row["id"], to_prediction(row)) for row in tail.rows(within))
        missing = [time for each, time in wanted.items() if each not in found]
        for segment in segments(self._root, "predictions") if missing else ():
            if any(segment.first <= time <= segment.last for time in missing):
                raise MissingExtraError("feedback on predictions that are in Parquet by now", "parquet")
        return found

    def labels(self, prediction_ids: Collection[str]) -> dict[str, Feedback]:
        """By what was read lately: the same label given again after a while is written again, and changes nothing."""
        rows = [row for tail in self._tails.values() for row in tail.feedback if row["prediction_id"] in prediction_ids]
        return {row["prediction_id"]: to_feedback(row) for row in sorted(rows, key=lambda row: int(row["at"]))}

    def _advanced(self, path: Path) -> Tail | None:
        """None for a spool that was sealed meanwhile."""
        tail = self._tails.pop(path.stem, None) or Heads(path)
        try:
            tail.advance()
        except FileNotFoundError:
            return None
        self._tails[path.stem] = tail
        while len(self._tails) > _KEPT:
            self._tails.popitem(last=False)
        return tail


def _may_hold(path: Path, time: datetime) -> bool:
    """A spool's name begins with an id of when it was made; its last change is its last row."""
    try:
        last = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        first = prediction_time(path.name[:26])
    except (OSError, ValueError):
        return True
    return first - _SLACK <= time <= last + _SLACK
