"""Servers on real sockets whose limits a test can shorten, and requests as bytes."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tidemill.serve.run import _config, listen

from .conftest import App

PREDICT = "/v1/models/sizes:predict"  # on the short way
LONG = PREDICT + "?x"  # the same, by the application


@contextmanager
def listening(app: App) -> Iterator[int]:
    """`app` under uvicorn as `tidemill serve` has it; gives the port."""
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(_config(app._app))
        listener.listen()
        running = asyncio.run_coroutine_threadsafe(server.serve(sockets=[listener]), app._loop)
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = server.force_exit = True
            running.result(timeout=30)


def connect(port: int, timeout: float = 10) -> socket.socket:
    """A connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def request(method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """A request as bytes. A header given replaces one of here."""
    given = {"host": "localhost", "content-length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def until_closed(connection: socket.socket) -> bytes:
    """All that comes before the server closes; raises TimeoutError where it does not."""
    received = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while piece := connection.recv(65536):
            received += piece
    return received


def ask(port: int, sent: bytes, timeout: float = 10) -> tuple[int, bytes]:
    """Status and body of the answer to one request."""
    with connect(port, timeout) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection, method=sent.split(b" ", 1)[0].decode())
        answer.begin()
        return answer.status, answer.read()


def status_of(received: bytes) -> int:
    """Of the first answer in what was received."""
    return int(received.split(b" ", 2)[1]) if received else 0
