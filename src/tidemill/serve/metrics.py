"""What Prometheus reads at /metrics. Each server has a registry of its own.

Counting is on the way of every request, so it is plain numbers that the event loop's thread alone changes; families
are made of them when somebody asks. Beside Tidemill's own names stand those that dashboards for KServe and Triton know.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from tidemill.serve.model import ServedModel

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 128, 1024)
_OF_MODEL = ("model", "version")
_OF_KSERVE = ("model_name", "model_version")
_COUNTS = ("requests", "rows", "runs", "pending", "waited", "computed")
_REASONS: Mapping[str, str] = {
    "queue_full": "REJECTED",  # more waits than may wait
    "too_slow": "REJECTED",  # it would have waited longer than anybody may
    "timeout": "REJECTED",  # it has waited, or would have, longer than it wanted to
    "rate": "REJECTED",  # its token asks too often
    "client_gone": "CANCELED",
    "input": "BACKEND",  # the model has no answer for it
    "model": "BACKEND",  # the model failed
    "log": "OTHER",  # the answer could not be logged
}
"""Why a request for a prediction was not answered, and what Triton calls it."""
_OF_SERVER = ("in_flight", "log_failures", "feedback", "refused")


class Distribution:
    """A histogram: how many values lie between neighbouring bounds, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def plain(self) -> list[float]:
        """The counts, and the sum."""
        return [*self._counts, self.total]

    def add(self, plain: Sequence[float]) -> None:
        """What another counted."""
        self._counts = [mine + int(other) for mine, other in zip(self._counts, plain, strict=False)]
        self.total += plain[-1]

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """This histogram as a series of `family`."""
        buckets, below = [], 0
        for bound, count in zip((*map(str, map(float, self._bounds)), "+Inf"), self._counts, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric(labels, buckets, self.total)


class ModelMeters:
    """Of one model version. `waited`, `computed`: seconds of all rows in the queue, and in the graph with what is
    around it."""

    def __init__(self, labels: tuple[str, str]) -> None:
        self.labels = labels
        self.seconds, self.batch = Distribution(_SECONDS), Distribution(_ROWS)
        self.failures = dict.fromkeys(_REASONS, 0)
        self.requests = self.rows = self.runs = self.pending = 0
        self.waited = self.computed = 0.0

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "labels": self.labels, "seconds": self.seconds.plain(), "batch": self.batch.plain(),
            "failures": self.failures,
            **{name: getattr(self, name) for name in _COUNTS},
        }  # fmt: skip

    def add(self, plain: Mapping[str, Any]) -> None:
        """What another counted of the same version."""
        self.seconds.add(plain["seconds"])
        self.batch.add(plain["batch"])
        for reason, count in plain["failures"].items():
            self.failures[reason] = self.failures.get(reason, 0) + count
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + plain[name])


@dataclass(eq=False)
class Meters(Collector):
    """All numbers of one server."""

    in_flight: int = 0
    log_failures: int = 0
    feedback: int = 0
    refused: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    _models: dict[tuple[str, str], ModelMeters] = field(default_factory=dict)
    _serving: list[ServedModel] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def model(self, model: ServedModel) -> ModelMeters:
        """The series of `model`; one that was in service before goes on counting."""
        labels = (model.name, str(model.version))
        return self._models.setdefault(labels, ModelMeters(labels))

    def announce(self, *models: ServedModel) -> None:
        """Say that these are in service now, and no others."""
        self._serving = list(models)

    def text(self) -> bytes:
        """All series in Prometheus' text format."""
        return generate_latest(self._registry)

    def plain(self) -> dict[str, Any]:
        """As JSON has it: what other workers of the server add to their own."""
        return {
            "server": {name: getattr(self, name) for name in _OF_SERVER},
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "models": [each.plain() for each in self._models.values()],
        }

    def together(self, others: Iterable[Mapping[str, Any]]) -> Meters:
        """These numbers and those that `plain` gave elsewhere, summed."""
        whole = Meters(_serving=self._serving)
        for plain in (self.plain(), *others):
            for name in _OF_SERVER:
                setattr(whole, name, getattr(whole, name) + plain["server"][name])
            whole.statuses.update({int(status): count for status, count in plain["statuses"].items()})
            for each in plain["models"]:
                labels = (each["labels"][0], each["labels"][1])
                whole._models.setdefault(labels, ModelMeters(labels)).add(each)
        return whole

    def collect(self) -> Iterator[Metric]:
        """The families, as they are now."""
        requests = CounterMetricFamily("tidemill_requests", "Answered requests.", labels=["status"])
        for status, count in sorted(self.statuses.items()):
            requests.add_metric([str(status)], count)
        yield requests
        yield GaugeMetricFamily("tidemill_requests_in_flight", "Requests being answered now.", self.in_flight)
        yield CounterMetricFamily("tidemill_log_write_failures", "Batches that could not be logged.", self.log_failures)
        yield GaugeMetricFamily("tidemill_version_refused", "1 while a published version is refused.", self.refused)
        yield CounterMetricFamily("tidemill_feedback", "Labels that came back.", self.feedback)
        info = GaugeMetricFamily("tidemill_model_info", "A model in service.", labels=[*_OF_MODEL, "bundle", "task"])
        for model in self._serving:
            info.add_metric([model.name, str(model.version), str(model.digest), model.bundle.task], 1)
        yield info
        yield from self._of_models()

    def _of_models(self) -> Iterator[Metric]:
        all_models = list(self._models.values())
        for name, text, attribute in (
            ("tidemill_prediction_seconds", "From a request's arrival to its answer.", "seconds"),
            ("tidemill_batch_rows", "Rows in one run of the graph.", "batch"),
            ("request_predict_seconds", "As KServe names it: from a request's arrival to its answer.", "seconds"),
        ):
            family = HistogramMetricFamily(name, text, labels=_OF_KSERVE if name.startswith("r") else _OF_MODEL)
            for each in all_models:
                getattr(each, attribute).add_to(family, each.labels)
            yield family
        yield _counter("tidemill_predictions", "Answered rows.", ((m.labels, m.rows) for m in all_models))
        yield from self._of_failures(all_models)
        for name, text, value in _TRITON:  # without a type: the library would end a counter's name in _total
            triton = UnknownMetricFamily(f"nv_inference_{name}", f"As Triton names it: {text}.", labels=_OF_MODEL)
            for each in all_models:
                triton.add_metric(each.labels, value(each))
            yield triton
        pending = GaugeMetricFamily(
            "nv_inference_pending_request_count", "As Triton names it: requests that wait.", labels=_OF_MODEL
        )
        for each in all_models:
            pending.add_metric(each.labels, each.pending)
        yield pending

    def _of_failures(self, all_models: Sequence[ModelMeters]) -> Iterator[Metric]:
        own = CounterMetricFamily(
            "tidemill_request_failures", "Requests that were refused or failed.", labels=[*_OF_MODEL, "reason"]
        )
        triton = UnknownMetricFamily(
            "nv_inference_request_failure", "As Triton names it: refused and failed requests.",
            labels=[*_OF_MODEL, "reason"],
        )  # fmt: skip
        for each in all_models:
            known = Counter(dict.fromkeys(_REASONS.values(), 0))
            for reason, count in each.failures.items():
                own.add_metric([*each.labels, reason], count)
                known[_REASONS.get(reason, "OTHER")] += count
            for name, count in known.items():
                triton.add_metric([*each.labels, name], count)
        yield own
        yield triton


_TRITON: tuple[tuple[str, str, Callable[[ModelMeters], float]], ...] = (
    ("request_success", "answered requests", lambda each: each.requests),
    ("count", "answered rows", lambda each: each.rows),
    ("exec_count", "runs of the graph", lambda each: each.runs),
    (
        "request_duration_us",
        "microseconds from arrival to answer, of all requests",
        lambda each: each.seconds.total * 1e6,
    ),
    ("queue_duration_us", "microseconds in the queue, of all requests", lambda each: each.waited * 1e6),
    ("compute_infer_duration_us", "microseconds in the graph, of all runs", lambda each: each.computed * 1e6),
)


def _counter(name: str, text: str, values: Iterable[tuple[Sequence[str], float]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=_OF_MODEL)
    for labels, value in values:
        family.add_metric(labels, value)
    return family
