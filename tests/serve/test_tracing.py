"""Traces: a span a request at a receiver that speaks OTLP over HTTP; and nothing where nothing is configured."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tidemill.serve.tracing import open_tracer

from .bundles import ROW
from .conftest import Start
from .sockets import LONG, PREDICT, ask, listening, request

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

BODY = json.dumps({"inputs": [ROW, ROW]}).encode()
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """Keeps the spans that come, and what they come from."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Receive(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.services.add(_plain(group.resource.attributes)["service.name"])
            self.server.spans.extend(span for scope in group.scope_spans for span in scope.spans)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        yield server
        server.shutdown()


def test_a_request_is_a_span_with_model_version_rows_and_batch(made: Path, start: Start, collector: Collector) -> None:
    app = start(made / "tab")
    with listening(app) as port:
        given = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine-1"}
        assert ask(port, request("POST", PREDICT, given, BODY))[0] == 200
        assert ask(port, request("POST", LONG, body=BODY))[0] == 200
        assert ask(port, request("POST", "/secret/of/somebody", body=BODY))[0] == 404
    assert app._app._tracer is not None
    app._app._tracer.close()

    quick, long, refused = collector.spans
    assert (quick.trace_id.hex(), quick.parent_span_id.hex()) == (TRACE, PARENT)
    assert long.trace_id.hex() != TRACE and not long.parent_span_id
    for span in (quick, long):
        told = _plain(span.attributes)
        assert span.name == f"POST {PREDICT}"
        assert (told["tidemill.model"], told["tidemill.version"]) == ("sizes", 1)
        assert (told["tidemill.rows"], told["tidemill.batch.rows"]) == (2, 2)
        assert told["http.response.status_code"] == 200
        assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 30e9
    assert _plain(quick.attributes)["tidemill.request.id"] == "mine-1"
    assert refused.name == "POST"
    assert collector.services == {"tidemill"}


def test_what_the_caller_does_not_sample_is_not_sent(made: Path, start: Start, collector: Collector) -> None:
    app = start(made / "tab")
    app.post(PREDICT, content=BODY, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    app._app._tracer.close()  # type: ignore[union-attr]  # the environment asks for one

    assert collector.spans == []


def test_without_an_endpoint_nothing_is_imported() -> None:
    source = (
        "import sys, tidemill.serve.run, tidemill.serve.tracing as t; assert t.open_tracer({}) is None; "
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'requests'))])"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "more", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}]
)
def test_what_switches_traces_off_is_heard(more: dict[str, str]) -> None:
    assert open_tracer({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **more}) is None


def test_a_missing_extra_is_said_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    assert open_tracer({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}) is None
    assert "pip install 'tidemill[otel]'" in capsys.readouterr().err


def test_a_collector_that_is_away_fails_no_request(made: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    app = start(made / "tab")

    assert app.predict([ROW]).status_code == 200
    app._app._tracer.close()  # type: ignore[union-attr]  # the environment asks for one
