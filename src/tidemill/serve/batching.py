"""One queue for a model: what waits is answered together, and is in the log before it is answered.

A model whose batch takes a moment only is run on the event loop's own thread: handing it to another would cost more
than the model. Others have threads of their own, at least two, so that one reads or writes while another computes.
Nothing waits for a batch to fill: what comes while one is computed is the next, and threads that are free share what
waits, where two halves take less time than the whole.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque

import numpy as np

from tidemill.bundle.decide import decide
from tidemill.domain.prediction import new_prediction_ids
from tidemill.errors import BusyError, StorageError
from tidemill.ports import Answered, Scored
from tidemill.serve.blame import explained, reason
from tidemill.serve.job import Answer, Feed, Job, Results
from tidemill.serve.logs import say_crash
from tidemill.serve.metrics import Meters
from tidemill.serve.model import ServedModel
from tidemill.serve.recording import Recorder
from tidemill.serve.room import BATCH_ROWS, Room

SLICE_ROWS = 256  # a single larger request goes through the graph in such pieces
INLINE = 0.002  # seconds that the event loop may be kept from its other work
_PAYS = 0.75  # a share is taken when it needs at most this part of the time of everything


class Engine:
    """Answers for one model version. Made and used on the event loop's thread."""

    def __init__(self, model: ServedModel, recorder: Recorder, meters: Meters) -> None:
        self.model = model
        self._recorder = recorder
        self._meters = meters
        self._series = meters.model(model)
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._waiting: deque[Job] = deque()
        self._rows = 0  # of them
        self._unanswered = 0  # requests
        self._busy = 0  # threads at work: what comes meanwhile is theirs, too
        self._pumping = self._closing = False
        self._idle = asyncio.Event()
        self._pace = Room(model.seconds, self._series)
        self._threads: list[threading.Thread] = []

    def submit(self, job: Job) -> None:
        """Queue a request. Raises BusyError when it would wait too long, StorageError while nothing can be logged."""
        if self._recorder.refuses:
            self._series.failures["log"] += 1
            raise StorageError("the prediction log does not take anything", "look at the disk that holds it")
        given = job.given
        if self._rows:
            self._pace.check(self._rows, given, len(self._threads))
        if given.timeout:
            job = self._timed(job)
        self._unanswered += 1
        self._series.pending = self._unanswered
        with self._lock:
            self._waiting.append(job)
            self._rows += given.rows
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _timed(self, job: Job) -> Job:
        """The job as one that is refused when its time is over and it still waits."""

        def reply(answer: Answer | Exception) -> None:
            timer.cancel()
            job.reply(answer)

        timed = Job(job.given, job.received, reply, job.gone)
        timer = self._loop.call_later(job.given.timeout, self._expire, timed)
        return timed

    def _expire(self, job: Job) -> None:
        with self._lock:
            try:
                self._waiting.remove(job)
            except ValueError:  # it is being computed
                return
            self._rows -= job.given.rows
        headline = f"its turn did not come within the request's {job.given.timeout:g} s"
        self._refuse([job], self._pace.refusal(self._rows, headline, len(self._threads)), "timeout")

    @property
    def alive(self) -> bool:
        """Whether a request would be answered."""
        return all(thread.is_alive() for thread in self._threads)

    async def drain(self) -> None:
        """Wait until everything that was submitted is answered; then end. Nothing may be submitted any more."""
        while self._unanswered:
            self._idle.clear()
            await self._idle.wait()
        self._closing = True
        with self._wake:
            self._wake.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _pump(self) -> None:
        """Have answered what waits: here, when that is quickly done."""
        self._pumping = False
        if self._busy or self._pace.expected(min(self._rows, BATCH_ROWS)) > INLINE or self._large():
            self._start()
            with self._wake:
                self._wake.notify()
            return
        with self._lock:
            batch = self._take(BATCH_ROWS)
        if batch:
            self._finish(self._computed(batch))
        if self._waiting:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _large(self) -> bool:
        with self._lock:
            return any(job.given.rows > BATCH_ROWS for job in self._waiting)

    def _start(self) -> None:
        while len(self._threads) < self.model.workers:
            name = f"model-{self.model.full_name}-{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
            self._threads[-1].start()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                self._busy += 1
                batch = self._take(self._share())
                if self._waiting:
                    self._wake.notify()
            if batch:
                computed = self._computed(batch)
                self._loop.call_soon_threadsafe(self._finish, computed)
            with self._lock:
                self._busy -= 1
            if not batch and self._closing:
                return

    def _share(self) -> int:
        """How many rows one thread takes, with the lock, as `_take`. One share is left for who is done first: what is
        answered then comes back as new requests while all compute."""
        free = len(self._threads) - self._busy + 1
        part = -(-self._rows // (free + 1))
        pays = self._pace.expected(part) <= _PAYS * self._pace.expected(min(self._rows, BATCH_ROWS))
        return min(part, BATCH_ROWS) if pays else BATCH_ROWS

    def _take(self, most: int) -> list[Job]:
        """What waits, up to `most` rows; at least one request, of any size, where one waits."""
        batch: list[Job] = []
        rows = 0
        while self._waiting:
            job = self._waiting[0]
            given = job.given
            if batch:
                first = batch[0].given
                alike = (given.feed is None) == (first.feed is None) and given.shapes == first.shapes
                if not alike or rows >= most or rows + given.rows > SLICE_ROWS:
                    break
            self._waiting.popleft()
            batch.append(job)
            rows += given.rows
        self._rows -= rows
        return batch

    def _computed(self, batch: list[Job]) -> list[tuple[list[Job], Results | Exception]]:
        """The results of a batch; if it fails, of each request alone, so that only the one with the bad item fails.

        Requests that nobody waits for are left out of the graph.
        """
        wanted = [job for job in batch if not job.gone()]
        left = [job for job in batch if job not in wanted] if len(wanted) < len(batch) else []
        found: list[tuple[list[Job], Results | Exception]] = (
            [(left, BusyError("the client went away", ""))] if left else []
        )
        if not wanted:
            return found
        try:
            return [*found, (wanted, self._results(wanted))]
        except Exception as error:  # whatever it is, the client hears of it, and the server goes on
            if len(wanted) > 1:
                return [*found, *(each for job in wanted for each in self._computed([job]))]
            return [*found, (wanted, explained(error, wanted[0].given))]

    def _results(self, batch: list[Job]) -> Results:
        began = time.perf_counter()
        scored = self._score(_feed(batch, self.model))
        outputs = decide(self.model.signature, scored.scores)
        seconds = time.perf_counter() - began
        self._pace.took(len(outputs), seconds)
        return Results(self.model, new_prediction_ids(len(outputs)), outputs, scored, began, seconds)

    def _score(self, feed: Feed) -> Scored:
        rows = len(next(iter(feed.values())))
        if rows <= SLICE_ROWS:
            return self.model.predictor.score_feed(feed)
        pieces = [
            self.model.predictor.score_feed({name: array[start : start + SLICE_ROWS] for name, array in feed.items()})
            for start in range(0, rows, SLICE_ROWS)
        ]
        return Scored(np.concatenate([p.scores for p in pieces]), np.concatenate([p.embedding for p in pieces]))

    def _finish(self, computed: list[tuple[list[Job], Results | Exception]]) -> None:
        """Have it logged, and then answered."""
        for batch, results in computed:
            if isinstance(results, Exception):
                self._refuse(batch, results, reason(results))
            else:
                self._recorder.put(
                    self._answered(batch, results),
                    lambda error, batch=batch, results=results: self._reply(batch, results, error),  # type: ignore[misc]
                )

    def _answered(self, batch: list[Job], results: Results) -> Answered:
        now = time.perf_counter()
        model = self.model
        asked = [part._replace(latency_ms=(now - job.received) * 1000) for job in batch for part in job.given.kept]
        return Answered(
            model.name, model.version, model.digest, time.time_ns() // 1000, results.ids, results.outputs,
            results.scores, results.embedding, asked,
        )  # fmt: skip

    def _reply(self, batch: list[Job], results: Results, error: StorageError | None) -> None:
        if error is not None:
            self._meters.log_failures += 1
            self._refuse(batch, error, "log")
            return
        series = self._series
        series.batch.observe(len(results.ids))
        series.rows += len(results.ids)
        series.runs += 1
        series.computed += results.seconds
        now, start = time.perf_counter(), 0
        for job in batch:
            stop = start + job.given.rows
            self._hand(job, Answer(results, start, stop))
            series.seconds.observe(now - job.received)
            series.waited += results.began - job.received
            start = stop
        series.requests += len(batch)
        self._answered_all(len(batch))

    def _refuse(self, batch: list[Job], error: Exception, reason: str) -> None:
        for job in batch:
            self._hand(job, error)
        self._series.failures[reason] += len(batch)
        self._answered_all(len(batch))

    def _hand(self, job: Job, answer: Answer | Exception) -> None:
        """Whatever goes wrong with one answer, the others are given."""
        try:
            job.reply(answer)
        except Exception as error:  # the last frame of a request
            say_crash("an answer could not be given", error)

    def _answered_all(self, requests: int) -> None:
        self._unanswered -= requests
        self._series.pending = self._unanswered
        if not self._unanswered:
            self._idle.set()


def _feed(batch: list[Job], model: ServedModel) -> Feed:
    first = batch[0].given
    if first.feed is None:
        return model.predictor.preprocessor.prepare([raw for job in batch for raw in job.given.inputs or ()])
    if len(batch) == 1:
        return first.feed
    return {name: np.concatenate([job.given.feed[name] for job in batch if job.given.feed]) for name in first.feed}
