"""Clients that send slowly, without end or without reading; on real sockets, on both ways through the server."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .bundles import ROW
from .conftest import App, Start
from .sockets import LONG, PREDICT, ask, connect, listening, request, status_of, until_closed

BODY = json.dumps({"inputs": [ROW]}).encode()
WAYS = pytest.mark.parametrize("path", [PREDICT, LONG], ids=["quick", "application"])


@pytest.fixture
def app(made: Path, start: Start) -> App:
    return start(made / "tab")


@pytest.fixture
def port(app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server whose patience is short."""
    for name in ("patience.HEAD_SECONDS", "patience.BODY_SECONDS", "limits.BODY_SECONDS", "patience.UNREAD_SECONDS"):
        monkeypatch.setattr(f"tidemill.serve.{name}", 0.3)
    with listening(app) as port:
        yield port


def test_a_client_that_says_nothing_is_left(port: int) -> None:
    with connect(port) as connection:
        assert status_of(until_closed(connection)) in (0, 408)


@pytest.mark.parametrize("sent", [b"P", b"POST /v1/models/sizes:predict HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_a_head_that_does_not_end_closes_the_connection(port: int, sent: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(sent)
        assert status_of(until_closed(connection)) == 408


def test_a_head_that_trickles_has_no_more_time_than_one_that_stands_still(port: int) -> None:
    began = time.monotonic()
    with connect(port) as connection, pytest.raises(ConnectionError):
        connection.sendall(b"GET /")
        while time.monotonic() < began + 10:
            connection.sendall(b"x")
            time.sleep(0.02)
    assert time.monotonic() < began + 9


def test_a_later_head_on_a_kept_connection_has_a_limit_too(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(request("POST", PREDICT, body=BODY) + b"POST /v1")
        received = until_closed(connection)
    assert status_of(received) == 200
    assert b"HTTP/1.1 408" in received


@WAYS
def test_a_body_that_does_not_come_is_answered_408_and_the_connection_closed(port: int, app: App, path: str) -> None:
    with connect(port) as connection:
        connection.sendall(request("POST", path, {"content-length": "1000"}, b'{"inputs"'))
        assert status_of(until_closed(connection)) == 408
    assert app.service.meters.in_flight == 0


@WAYS
def test_a_body_that_nobody_reads_does_not_hold_the_connection(port: int, path: str) -> None:
    with connect(port) as connection:  # refused by its Host before its body is looked at
        connection.sendall(request("POST", path, {"content-length": "1000000", "host": "evil.example"}, b"x"))
        received = until_closed(connection)
    assert status_of(received) in (403, 408)


@WAYS
def test_a_client_that_goes_within_its_body_leaves_nothing_behind(port: int, app: App, path: str) -> None:
    for _ in range(5):
        with connect(port) as connection:
            connection.sendall(request("POST", path, {"content-length": "1000"}, b"x"))
            time.sleep(0.05)
    deadline = time.monotonic() + 5
    while app.service.meters.in_flight and time.monotonic() < deadline:
        time.sleep(0.02)
    assert app.service.meters.in_flight == 0
    assert app.service.bodies._held == 0


@WAYS
def test_a_body_that_is_too_large_is_refused_by_its_length(port: int, path: str) -> None:
    assert ask(port, request("POST", path, {"content-length": str(33 << 20)}))[0] == 413


def test_a_chunked_body_without_end_is_refused_and_memory_stays(port: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    piece = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    with connect(port) as connection:
        connection.sendall(
            request("POST", PREDICT, {"transfer-encoding": "chunked"}).replace(b"content-length: 0\r\n", b"")
        )
        received = _pour(connection, piece, 1 << 30)
    assert status_of(received) in (0, 408, 413)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KB


@pytest.mark.parametrize("endless", ["header", "headers", "url", "trailers"])
def test_what_is_no_body_and_does_not_end_is_cut_off(port: int, endless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("patience.HEAD_SECONDS", "patience.BODY_SECONDS", "limits.BODY_SECONDS"):
        monkeypatch.setattr(f"tidemill.serve.{name}", 30)  # it is the size that is refused, not the time
    chunked = b"POST /v1/models/sizes:predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    began, piece = {
        "header": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"x" * 65536),
        "headers": (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"a: b\r\n" * 10000),
        "url": (b"GET /", b"x" * 65536),
        "trailers": (chunked + b"2\r\n{}\r\n0\r\n", b"a: b\r\n" * 10000),
    }[endless]
    with connect(port) as connection:
        connection.sendall(began)
        received = _pour(connection, piece, 1 << 26)
    assert status_of(received) in (0, 400, 408, 413, 431)


def test_a_client_that_does_not_read_is_left_and_holds_no_memory(port: int, app: App) -> None:
    asked = request("POST", PREDICT, body=BODY)
    with connect(port, timeout=1) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sent = 0
        with pytest.raises((TimeoutError, ConnectionError)):
            while sent < 1 << 26:
                sent += connection.send(asked * 100)
    assert httpx.get(f"http://localhost:{port}/v2/health/live").status_code == 200
    assert sent < 1 << 25


def test_slow_clients_do_not_slow_the_others(port: int) -> None:
    slow = [connect(port) for _ in range(100)]
    for each in slow:
        each.sendall(b"POST /v1")
    try:
        for path in (PREDICT, LONG):
            assert ask(port, request("POST", path, body=BODY))[0] == 200
    finally:
        for each in slow:
            each.close()


def test_bodies_in_pieces_count_together(port: int, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.serve.limits.MAX_HELD", 2 << 20)
    several = [connect(port) for _ in range(3)]
    try:
        for each in several:
            each.sendall(request("POST", PREDICT, {"content-length": str(1 << 20)}, b"x"))
        assert sorted(status_of(until_closed(each)) for each in several) == [408, 408, 503]
    finally:
        for each in several:
            each.close()
    assert app.service.bodies._held == 0


def _pour(connection: socket.socket, piece: bytes, most: int) -> bytes:
    """Send `piece` again and again until the server closes; what it said. Fails where it takes `most` bytes."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < most:
            connection.sendall(piece)
            sent += len(piece)
    assert sent < most
    return until_closed(connection)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a client that speaks TLS
        b"hello\r\n\r\n",
        request("POST", PREDICT, {"content-length": "-5"}, BODY),
        request("POST", PREDICT, {"transfer-encoding": "chunked"}, b"0\r\n\r\n"),
    ],
)
def test_what_is_not_http_is_refused_as_anything_else_is(port: int, sent: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(sent)
        received = until_closed(connection)

    assert status_of(received) == 400
    assert "not an HTTP request" in json.loads(received.partition(b"\r\n\r\n")[2])["error"]["message"]
