"""An HTTP proxy that does to chosen requests what networks and servers do: 503, slow, cut off, answer lost."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Fault = Literal["none", "503", "slow", "reset", "lost"]
Chooser = Callable[[str, str], Fault]
"""What to do to a request, by method and path."""

SLOW = 1.0  # seconds


@contextmanager
def proxied(host: str, port: int, choose: Chooser) -> Iterator[str]:
    """The address of a proxy before host:port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = choose(self.command, self.path)
            if fault == "503":
                self._answer(503, [("Content-Length", "0")], b"")
                return
            if fault == "reset":
                self._reset()
                return
            if fault == "slow":
                time.sleep(SLOW)
            onward = http.client.HTTPConnection(host, port, timeout=60)
            onward.request(self.command, self.path, body, dict(self.headers.items()))
            answer = onward.getresponse()
            content = answer.read()
            onward.close()
            if fault == "lost":
                self._reset()
                return
            kept = [each for each in answer.getheaders() if each[0].lower() not in ("transfer-encoding", "connection")]
            if not any(name.lower() == "content-length" for name, _ in kept):
                kept.append(("Content-Length", str(len(content))))
            self._answer(answer.status, kept, b"" if self.command == "HEAD" else content)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _handle

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            self.wfile, self.rfile = _Nowhere(), _Nowhere()  # type: ignore[assignment]  # nothing is flushed any more

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Nowhere:
    closed = True

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def first(number: int, fault: Fault, wanted: Callable[[str, str], bool]) -> Chooser:
    """Do `fault` to the first `number` requests that are `wanted`."""
    left = [number]

    def choose(method: str, path: str) -> Fault:
        if left[0] and wanted(method, path):
            left[0] -= 1
            return fault
        return "none"

    return choose
