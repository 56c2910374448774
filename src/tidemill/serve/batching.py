"""One queue and one worker thread for a model: what waits is answered together, and logged before it is answered."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidemill.bundle.decide import decide
from tidemill.errors import BusyError, GateError, InputError, StorageError
from tidemill.ports import Scored
from tidemill.serve.job import Answer, Feed, Job
from tidemill.serve.metrics import Meters
from tidemill.serve.model import ServedModel
from tidemill.serve.record import to_predictions

if TYPE_CHECKING:
    from tidemill.ports import PredictionSink, Raw

BATCH_ROWS = 32  # a batch is closed when it has so many
SLICE_ROWS = 256  # a single larger request goes through the graph in such pieces
WAITING_ROWS = 4096  # beyond so many the server is busy


class Engine:
    """Answers for one model version. Made and used on the event loop's thread; the graph runs on its own."""

    def __init__(self, model: ServedModel, sink: PredictionSink, meters: Meters) -> None:
        self.model = model
        self._sink = sink
        self._meters = meters
        self._series = meters.model(model)
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._held: Job | None = None
        self.log_failed: float | None = None  # when, by time.monotonic()
        self._submitted = self._taken = 0  # rows; each is written by one thread only
        self._worker = threading.Thread(target=self._work, name=f"model-{model.full_name}", daemon=True)
        self._worker.start()

    def submit(
        self, *, received: float, inputs: Sequence[Raw] | None = None, feed: Feed | None = None
    ) -> asyncio.Future[Answer]:
        """Queue a request. Raises BusyError when too many wait; the future gets the answer or a TidemillError."""
        shapes: tuple[tuple[int, ...], ...] = ()
        if inputs is not None:
            rows = len(inputs)
        else:
            assert feed is not None
            rows = len(next(iter(feed.values())))
            shapes = tuple(feed[name].shape[1:] for name in sorted(feed))
        waiting = self._submitted - self._taken
        if waiting and waiting + rows > WAITING_ROWS:
            raise BusyError(f"{waiting} inputs are waiting already", "try again in a second")
        self._submitted += rows
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._queue.put(Job(inputs, feed, rows, shapes, received, future))
        return future

    @property
    def alive(self) -> bool:
        """Whether requests are being answered."""
        return self._worker.is_alive()

    def close(self) -> None:
        """Answer what is queued, and end. Nothing may be submitted after it."""
        self._queue.put(None)

    def join(self) -> None:
        """Wait until everything queued was answered."""
        self._worker.join()

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            self._answer(batch)

    def _take(self) -> list[Job] | None:
        """What waits, up to BATCH_ROWS; at least one request, of any size. None when the engine was closed."""
        first = self._held or self._queue.get()
        self._held = None
        if first is None:
            return None
        batch, rows = [first], first.rows
        while rows < BATCH_ROWS:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._queue.put(None)
                break
            if (job.feed is None) != (first.feed is None) or job.shapes != first.shapes or rows + job.rows > SLICE_ROWS:
                self._held = job
                break
            batch.append(job)
            rows += job.rows
        self._taken += rows
        return batch

    def _answer(self, batch: list[Job]) -> None:
        """Answer a batch; if it fails, each request on its own, so that only the one with the bad item fails."""
        try:
            answers: list[Answer | Exception] = [*self._answers(batch)]
        except Exception as error:  # whatever it is, the client hears of it, and the worker goes on
            if len(batch) > 1:
                for job in batch:
                    self._answer([job])
                return
            answers = [self._explained(error, batch[0])]
        self._loop.call_soon_threadsafe(_deliver, batch, answers)

    def _answers(self, batch: list[Job]) -> list[Answer]:
        scored = self._score(_feed(batch, self.model))
        outputs = decide(self.model.signature, scored.scores)
        self._series.batch.observe(len(outputs))
        logged = to_predictions(self.model, batch, scored, outputs, now=time.perf_counter())
        try:
            self._sink.append(logged)
        except StorageError:
            self._meters.log_failures.inc()
            self.log_failed = time.monotonic()
            raise
        self._series.rows.inc(len(outputs))
        answers, start = [], 0
        for job in batch:
            part = slice(start, start + job.rows)
            ids = [prediction.id for prediction in logged[part]]
            answers.append(Answer(self.model, ids, outputs[part], scored.scores[part], scored.embedding[part]))
            self._series.seconds.observe(time.perf_counter() - job.received)
            start += job.rows
        return answers

    def _score(self, feed: Feed) -> Scored:
        rows = len(next(iter(feed.values())))
        if rows <= SLICE_ROWS:
            return self.model.predictor.score_feed(feed)
        pieces = [
            self.model.predictor.score_feed({name: array[start : start + SLICE_ROWS] for name, array in feed.items()})
            for start in range(0, rows, SLICE_ROWS)
        ]
        return Scored(np.concatenate([p.scores for p in pieces]), np.concatenate([p.embedding for p in pieces]))

    def _explained(self, error: Exception, job: Job) -> Exception:
        """Where the graph has no number for an input, or none for these tensors, it is the request that is wrong."""
        if isinstance(error, GateError):
            return InputError(error.headline, "the model has no answer for such an input: look at its values")
        if job.feed is not None and not isinstance(error, InputError | StorageError):
            return InputError(
                "the graph does not take these tensors", "look at their values: see /docs for what it takes"
            )
        return error


def _feed(batch: list[Job], model: ServedModel) -> Feed:
    if batch[0].feed is None:
        return model.predictor.preprocessor.prepare([raw for job in batch for raw in job.inputs or ()])
    if len(batch) == 1:
        return batch[0].feed
    return {name: np.concatenate([job.feed[name] for job in batch if job.feed]) for name in batch[0].feed}


def _deliver(batch: list[Job], answers: list[Answer | Exception]) -> None:
    for job, answer in zip(batch, answers, strict=True):
        if job.future.done():  # the client went away
            continue
        if isinstance(answer, Exception):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)
