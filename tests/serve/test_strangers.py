"""Who is not heard at all: DNS rebinding, other sites' pages, and paths that lead out; on real sockets, both ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .bundles import ROW
from .conftest import Start
from .sockets import LONG, PREDICT, ask, listening, request

BODY = json.dumps({"inputs": [ROW]}).encode()
EVERYWHERE = [
    "/", "/docs", "/openapi.json", "/metrics", "/feedback", "/v2", "/v2/health/live", "/v2/health/ready",
    "/v2/models/sizes", "/v2/models/sizes/ready", "/v2/models/sizes/infer", PREDICT, LONG, "/nothing", "/ui",
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"]
FOREIGN: list[dict[str, str]] = [
    {"host": "evil.example"},
    {"host": "evil.example:8080"},
    {"host": "localhost.evil.example"},
    {"host": "localhost@evil.example"},
    {"host": "192.168.1.5"},
    {"host": "169.254.169.254"},
    {"host": ""},
    {"host": "evil.example", "x-forwarded-host": "localhost"},
    {"host": "localhost", "origin": "http://evil.example"},
    {"host": "localhost", "origin": "null"},
    {"host": "localhost:8080", "origin": "http://localhost:9999"},
    {"host": "localhost", "origin": "file://"},
]


@pytest.fixture
def local(made: Path, start: Start) -> Iterator[int]:
    with listening(start(made / "tab")) as port:
        yield port


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda each: "+".join(f"{k}={v}" for k, v in each.items()))
def test_foreign_hosts_and_origins_are_refused_on_every_method_and_address(local: int, headers: dict[str, str]) -> None:
    for method in METHODS:
        for where in ("localhost:1",) if method == "CONNECT" else EVERYWHERE:
            body = b"" if method in ("GET", "HEAD", "TRACE", "CONNECT") else BODY
            status = _status(local, request(method, where, headers, body))
            assert status in ((400, 403) if method == "CONNECT" else (403,)), (method, where, status)


def test_a_host_that_is_given_twice_or_in_the_target_does_not_help(local: int) -> None:
    twice = b"POST %b HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n" % PREDICT.encode()
    target = b"GET http://localhost/metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    nothing = b"GET /metrics HTTP/1.0\r\n\r\n"
    assert [_status(local, each) for each in (twice, target, nothing)] == [403, 403, 403]


SECRET = "root:"
OUT = [
    "/../../../../etc/passwd", "/..%2f..%2f..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/%252e%252e/%252e%252e/etc/passwd", "/..;/..;/etc/passwd", "/..\\..\\..\\etc\\passwd",
    "/%5c..%5c..%5cetc%5cpasswd",
    "//etc/passwd", "/etc/passwd%00.html", "/docs/../../../etc/passwd", "/docs/%2e%2e/%2e%2e/etc/passwd",
    "/ui/../../etc/passwd", "/file:///etc/passwd", "/%c0%ae%c0%ae/etc/passwd", "/ui/static/..%2f..%2f..%2fetc%2fpasswd",
]  # fmt: skip
NAMES = [
    "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%252e%252e", "..;", "..\\..", "%5c..", "sizes%00", "sizes/../sizes",
    "a" * 5000, "%ff", "sizes:predict", "$(id)", "${jndi:x}", "%3cscript%3ealert(1)%3c/script%3e",
]  # fmt: skip


def test_no_path_leads_out(local: int) -> None:
    for where in OUT:
        for method in ("GET", "POST"):
            status, body = ask(local, request(method, where, body=b""))
            assert 400 <= status < 500 or status in (307, 404), (where, status)
            assert SECRET.encode() not in body
            assert b"site-packages" not in body


@pytest.mark.parametrize(
    "form", ["/v1/models/{}:predict", "/v2/models/{}/infer", "/v2/models/sizes/versions/{}/infer", "/v2/models/{}"]
)
def test_no_name_leads_out(local: int, form: str) -> None:
    for name in NAMES:
        for method in ("GET", "POST"):
            body = BODY if method == "POST" else b""
            status, answer = ask(local, request(method, form.format(name), body=body))
            assert 400 <= status < 500 or status == 307, (name, status)
            assert SECRET.encode() not in answer
            assert b"<script" not in answer


def _status(port: int, sent: bytes) -> int:
    return ask(port, sent)[0]
