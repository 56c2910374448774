"""Answers and labels by time, from the prediction log, quickly: what was read of a file once is not read again."""

from __future__ import annotations

import heapq
import threading
from array import array
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tidemill.domain.prediction import Feedback, Prediction, is_prediction_id, prediction_time
from tidemill.domain.record import now
from tidemill.journal.batches import glance, is_batch
from tidemill.journal.frames import HEADER, check_header, read_frames
from tidemill.journal.read import Journal
from tidemill.journal.records import from_micros, read_payload, to_micros
from tidemill.journal.segments import Segment, segments
from tidemill.journal.tails import spools
from tidemill.project.viewing.records import Bucket, LabelsView, TrafficView

SPAN = timedelta(hours=1)
SPANS = (timedelta(minutes=2), timedelta(minutes=10), SPAN)
BUCKETS = 60
NOW = timedelta(seconds=10)
KEPT = 200  # newest ids known of each file


@dataclass(slots=True)
class Answers:
    """Answers of one model in one file. `at` in microseconds; the arrays are empty where all is older than the span."""

    count: int = 0
    last: int = 0
    at: array[int] = field(default_factory=lambda: array("q"))
    latency: array[float] = field(default_factory=lambda: array("f"))
    newest: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, id: str, at: int, latency: float) -> None:
        self.count += 1
        self.last = max(self.last, at)
        self.at.append(at)
        self.latency.append(latency)
        self.newest.append((at, id))


@dataclass(slots=True)
class Labels:
    """The labels of one model: for each answer that has one, when it came and how many seconds after the answer."""

    came: dict[str, tuple[int, float]] = field(default_factory=dict)

    def add(self, id: str, at: int) -> None:
        known = self.came.get(id)
        if is_prediction_id(id) and (known is None or known[0] < at):
            self.came[id] = (at, max(0.0, (from_micros(at) - prediction_time(id)).total_seconds()))


@dataclass(slots=True)
class Growing:
    """A spool as far as it was read."""

    path: Path
    end: int = len(HEADER)
    answers: dict[str, Answers] = field(default_factory=lambda: defaultdict(Answers))


class Traffic:
    """The log under `root`. Safe to use from several threads; each call sees what was written until then."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._journal = Journal(root)
        self._growing: dict[str, Growing] = {}
        self._sealed: dict[Path, dict[str, Answers]] = {}
        self._labelled: set[Path] = set()
        self._labels: dict[str, Labels] = defaultdict(Labels)

    def traffic(self, model: str, at: datetime) -> TrafficView:
        """Answers of `model` in the hour before `at`; `errors` stays None, for the log holds answers only."""
        with self._lock:
            mine = [answers[model] for answers in self._files(at) if model in answers]
            times = np.concatenate([np.array(part.at) for part in mine] or [np.empty(0, np.int64)])
            latency = np.concatenate([np.array(part.latency) for part in mine] or [np.empty(0, np.float32)])
            last, total = max((part.last for part in mine), default=0), sum(part.count for part in mine)
        within = times > to_micros(at - SPAN)
        times, latency = times[within], latency[within]
        p50, p99 = map(float, np.quantile(latency, [0.5, 0.99])) if len(latency) else (None, None)
        span = _span(times, at)
        return TrafficView(
            span=span.total_seconds(),
            rate=float((times > to_micros(at - NOW)).sum() / NOW.total_seconds()),
            hour=len(times),
            total=total,
            errors=None,
            last=from_micros(last) if last else None,
            p50=p50,
            p99=p99,
            buckets=_buckets(times, latency, at, span),
        )

    def labels(self, model: str, at: datetime, span: float = SPAN.total_seconds()) -> LabelsView:
        """Feedback for `model`; its buckets cover `span` seconds before `at`."""
        with self._lock:
            self._files(at)
            came = list(self._labels[model].came.values())
        times = np.asarray([each[0] for each in came], np.int64)
        counts = np.histogram(times, bins=_edges(at, timedelta(seconds=span)))[0]
        delay = float(np.median([each[1] for each in came])) if came else None
        return LabelsView(len(came), delay, tuple(int(count) for count in counts))

    def latest(self, model: str) -> str | None:
        """The id of the newest answer of `model`."""
        with self._lock:
            return next(iter(self._newest(model, 1)), None)

    def newest(self, model: str, number: int) -> list[Prediction]:
        """The newest answers of `model`, at most `number` (and at most 200), newest first."""
        with self._lock:
            wanted = self._newest(model, min(number, KEPT))
            found = self._journal.find_all(wanted)
        return [found[id] for id in wanted if id in found]

    def _newest(self, model: str, number: int) -> list[str]:
        files = self._files(now())
        known = (pair for answers in files if model in answers for pair in answers[model].newest)
        return [id for _, id in heapq.nlargest(number, known)]

    def find(self, prediction_id: str) -> Prediction:
        """Raises NotFoundError."""
        with self._lock:
            return self._journal.find(prediction_id)

    def feedback(self, prediction_ids: Iterable[str]) -> dict[str, Feedback]:
        """The latest feedback for each of the ids that has one."""
        wanted = list(prediction_ids)
        with self._lock:
            return self._journal.labels(wanted) if wanted else {}

    def _files(self, at: datetime) -> list[dict[str, Answers]]:
        """Spools first, then the segments: a spool that is sealed meanwhile counts in its sealed form."""
        growing = self._advance()
        start = to_micros(at - SPAN)
        found = {}
        for segment in segments(self.root, "predictions"):
            growing.pop(segment.stem, None)
            known = self._sealed.get(segment.path) or _read_answers(segment)
            for answers in known.values():
                if answers.at and answers.last < start:
                    answers.at, answers.latency = array("q"), array("f")
            found[segment.path] = known
        self._sealed = found
        for segment in segments(self.root, "feedback"):
            if segment.path not in self._labelled:
                self._read_labels(segment)
        return [*found.values(), *(each.answers for each in growing.values())]

    def _advance(self) -> dict[str, Growing]:
        seen: dict[str, Growing] = {}
        for path in spools(self.root):
            growing = self._growing.get(path.stem) or Growing(path)
            try:
                self._read_spool(growing)
            except FileNotFoundError:
                continue
            seen[path.stem] = growing
        self._growing = seen
        return dict(seen)

    def _read_spool(self, growing: Growing) -> None:
        with growing.path.open("rb") as file:
            check_header(file.read(len(HEADER)), growing.path.name)
            file.seek(growing.end)
            read = read_frames(file.read(), 0)
        growing.end += read.end
        for frame in read.frames:
            if is_batch(frame.payload):
                seen = glance(frame.payload)
                for id, latency in zip(seen.ids, seen.latency_ms, strict=True):
                    growing.answers[seen.model].add(id, seen.at, latency)
                continue
            [row] = read_payload(frame.payload)
            if row["kind"] == "prediction":
                growing.answers[row["model"]].add(row["id"], row["at"], row["latency_ms"])
            else:
                self._labels[row["model"]].add(row["prediction_id"], row["at"])

    def _read_labels(self, segment: Segment) -> None:
        table = pq.read_table(segment.path, columns=["prediction_id", "at", "model"], use_threads=False)
        columns = (
            table["prediction_id"].to_pylist(),
            table["at"].cast("int64").to_pylist(),
            table["model"].to_pylist(),
        )
        for id, at, model in zip(*columns, strict=True):
            self._labels[model].add(id, at)
        self._labelled.add(segment.path)


@lru_cache(maxsize=8)
def traffic_of(root: Path) -> Traffic:
    """The one reader of the log under `root` in this process."""
    return Traffic(root)


def _read_answers(segment: Segment) -> dict[str, Answers]:
    """What is to be known of a sealed file, by model."""
    table = pq.read_table(segment.path, columns=["id", "at", "model", "latency_ms"], use_threads=False)
    found = {}
    for model in pc.unique(table["model"]).to_pylist():
        part = table.filter(pc.equal(table["model"], model))
        at = part["at"].cast("int64").to_numpy()
        newest = np.sort(np.argsort(at, kind="stable")[-KEPT:])
        pairs = zip(at[newest].tolist(), part["id"].take(newest).to_pylist(), strict=True)
        latency = part["latency_ms"].to_numpy().astype(np.float32)
        found[model] = Answers(
            len(at), int(at.max()), array("q", at.tobytes()), array("f", latency.tobytes()), deque(pairs, KEPT)
        )
    return found


def _span(times: NDArray[np.int64], at: datetime) -> timedelta:
    """The shortest span that holds all of the hour's answers."""
    oldest = int(times.min()) if len(times) else 0
    return next((span for span in SPANS if oldest > to_micros(at - span)), SPAN)


def _edges(at: datetime, span: timedelta) -> NDArray[np.int64]:
    return np.linspace(to_micros(at - span), to_micros(at) + 1, BUCKETS + 1).astype(np.int64)


def _buckets(
    times: NDArray[np.int64], latency: NDArray[np.float32], at: datetime, span: timedelta
) -> tuple[Bucket, ...]:
    edges = _edges(at, span)
    order = np.argsort(times, kind="stable")
    times, latency = times[order], latency[order]
    cuts = np.searchsorted(times, edges)
    return tuple(
        Bucket(
            from_micros(int(edges[i])),
            int(cuts[i + 1] - cuts[i]),
            float(np.median(latency[cuts[i] : cuts[i + 1]])) if cuts[i + 1] > cuts[i] else None,
        )
        for i in range(BUCKETS)
    )
