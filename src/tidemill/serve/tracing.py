"""A span for each request, sent to an OpenTelemetry collector where the environment names one.

The environment is OpenTelemetry's own: https://opentelemetry.io/docs/specs/otel/protocol/exporter. Without an endpoint
in it nothing is imported and nothing is sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tidemill.serve.logs import ANSWER, USER, say

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from tidemill.serve.job import Answer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


def open_tracer(environment: Mapping[str, str] = os.environ) -> Tracer | None:
    """What sends spans, where `environment` wants it. Where that cannot be had, it is said, and no reason to stop."""
    if not any(environment.get(name) for name in _ENDPOINTS):
        return None
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), _PROTOCOL)
    if protocol != _PROTOCOL:
        say(f"traces are not sent: {protocol} is not spoken here, {_PROTOCOL} is", level="warn")
        return None
    try:
        return Tracer(_provider())
    except ImportError:
        say("traces are not sent; install what sends them:  pip install 'tidemill[otel]'", level="warn")
        return None


class Tracer:
    """Makes the spans. They are sent in batches by a thread of OpenTelemetry's; what it cannot send is dropped."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("tidemill")
        self._extract = TraceContextTextMapPropagator().extract
        self._kind, self._failed = SpanKind.SERVER, Status(StatusCode.ERROR)

    def request(self, scope: Mapping[str, Any], request_id: str, status: int, seconds: float) -> str:
        """A span for a request that is answered, within the trace of its traceparent; returns the trace's id."""
        ended = time.time_ns()
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        span = self._tracer.start_span(
            _name(scope, status),
            self._extract(carrier),
            self._kind,
            _attributes(scope, request_id, status),
            start_time=ended - int(seconds * 1e9),
        )
        if status >= 500:
            span.set_status(self._failed)
        span.end(ended)
        return f"{span.get_span_context().trace_id:032x}"

    def close(self) -> None:
        """Send what waits. It happens by itself when the process ends."""
        self._provider.shutdown()


def _provider() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from tidemill import __version__

    named = Resource({"service.name": "tidemill", "service.version": __version__})
    provider = TracerProvider(
        resource=named.merge(Resource.create()) if _is_named() else Resource.create().merge(named)
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _is_named() -> bool:
    return bool(os.environ.get("OTEL_SERVICE_NAME")) or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )


def _name(scope: Mapping[str, Any], status: int) -> str:
    """Few different names: of what was refused, the path is whatever somebody asked for."""
    known = ANSWER in scope or status < 400
    return f"{scope['method']} {scope['path']}" if known else str(scope["method"])


def _attributes(scope: Mapping[str, Any], request_id: str, status: int) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "http.request.method": scope["method"],
        "http.response.status_code": status,
        "url.path": scope["path"],
        "url.scheme": scope["scheme"],
        "client.address": (scope.get("client") or ("", 0))[0],
        "tidemill.request.id": request_id,
    }
    if user := scope.get(USER):
        attributes["enduser.id"] = user
    answer: Answer | None = scope.get(ANSWER)
    if answer is not None:
        results = answer.results
        attributes |= {
            "tidemill.model": answer.model.name,
            "tidemill.version": answer.model.version,
            "tidemill.rows": answer.stop - answer.start,
            "tidemill.batch.rows": len(results.ids),
            "tidemill.compute.seconds": results.seconds,
        }
    return attributes
