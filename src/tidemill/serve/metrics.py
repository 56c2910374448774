"""What Prometheus reads at /metrics. Each server has a registry of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

if TYPE_CHECKING:
    from tidemill.serve.model import ServedModel

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own omission; a second series beside each counter, which nobody reads
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 128, 1024)


class ModelMeters:
    """The series of one model version, looked up once."""

    def __init__(self, seconds: Histogram, rows: Counter, batch: Histogram) -> None:
        self.seconds, self.rows, self.batch = seconds, rows, batch


class Meters:
    """All series of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("tidemill_requests", "Answered requests.", ["status"], registry=registry)
        self.in_flight = Gauge("tidemill_requests_in_flight", "Requests being answered now.", registry=registry)
        self.log_failures = Counter(
            "tidemill_log_write_failures", "Batches that could not be logged.", registry=registry
        )
        self.refused = Gauge("tidemill_version_refused", "1 while a published version is refused.", registry=registry)
        self.feedback = Counter("tidemill_feedback", "Labels that came back.", registry=registry)
        self._info = Gauge("tidemill_model_info", "The model in service.", ["model", "version", "bundle", "task"],
                           registry=registry)  # fmt: skip
        labels = ["model", "version"]
        self._seconds = Histogram("tidemill_prediction_seconds", "From a request's arrival to its answer.", labels,
                                  buckets=_SECONDS, registry=registry)  # fmt: skip
        self._rows = Counter("tidemill_predictions", "Answered and logged rows.", labels, registry=registry)
        self._batch = Histogram("tidemill_batch_rows", "Rows in one run of the graph.", labels, buckets=_ROWS,
                                registry=registry)  # fmt: skip
        self._statuses: dict[int, Counter] = {}

    def model(self, model: ServedModel) -> ModelMeters:
        """The series of `model`."""
        labels = (model.name, str(model.version))
        return ModelMeters(self._seconds.labels(*labels), self._rows.labels(*labels), self._batch.labels(*labels))

    def announce(self, model: ServedModel) -> None:
        """Say that `model` is in service now, and no other."""
        self._info.clear()
        self._info.labels(model.name, str(model.version), str(model.digest), model.bundle.task).set(1)

    def answered(self, status: int) -> None:
        """Count one answered request."""
        counter = self._statuses.get(status)
        if counter is None:
            counter = self._statuses[status] = self.requests.labels(str(status))
        counter.inc()

    def text(self) -> bytes:
        """All series in Prometheus' text format."""
        return generate_latest(self.registry)
