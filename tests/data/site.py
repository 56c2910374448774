"""A small site on this machine, which can be busy, hang up and lead elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tidemill.domain.digest import Digest


class Site:
    """What the server answers: bytes by path, redirects by path, and how many bytes it gives before it hangs up.

    Half of each answer waits for `gate`; with `shortest`, only ten bytes of a range come; without `lengths`, no answer
    says how long it is.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.cuts: list[int] = []
        self.busy = 0
        self.asked: list[str | None] = []
        self.gate = threading.Event()
        self.gate.set()
        self.shortest = False
        self.lengths = True
        self.port = 0

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    found = Site()
    monkeypatch.setattr("tidemill.dataset.download.time.sleep", lambda _: None)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.lstrip("/").partition("?")[0]
            found.asked.append(self.headers.get("Range"))
            if found.busy:
                found.busy -= 1
                return self._answer(503, b"")
            if path in found.redirects:
                return self._answer(302, b"", Location=found.redirects[path])
            if path not in found.files:
                return self._answer(404, b"")
            content = found.files[path]
            tag = f'"{Digest.of_bytes(content).short}"'
            given = self.headers.get("Range")
            if given and self.headers.get("If-Range") == tag:
                start = int(given.removeprefix("bytes=").rstrip("-"))
                if found.shortest:
                    about = {"Content-Range": f"bytes {start}-{start + 9}/{len(content)}", "ETag": tag}
                    return self._answer(206, content[start : start + 10], **about)
                about = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}", "ETag": tag}
                return self._answer(206, content[start:], **about)
            return self._answer(200, content, ETag=tag)

        def _answer(self, status: int, content: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            if found.lengths:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            sent = content[: found.cuts.pop(0)] if found.cuts and content else content
            self.wfile.write(sent[: len(sent) // 2])
            found.gate.wait(20)
            self.wfile.write(sent[len(sent) // 2 :])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()
