"""How long a connection may keep the server waiting, and how much it may send that is no body.

uvicorn limits how long a connection is idle between requests, and nothing else: a head that never ends, headers or
trailers without number and an answer that is never read would hold a connection, or memory, for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tidemill.serve.failure import Failure, render
from tidemill.serve.limits import BODY_SECONDS

HEAD_SECONDS = 30.0  # for the first request, and from the first byte of the head of a later one
UNREAD_SECONDS = 30.0  # for a client to read what was sent
MAX_HEAD = 64 << 10  # bytes
_PARTING_SECONDS = 5.0


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with an end to patience."""

    _in_head = _in_message = False
    _moved = False  # what came last began a request, or was part of a body
    _loose = 0  # bytes that came since
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        super().connection_made(transport)  # type: ignore[arg-type]  # as uvicorn narrows it
        self._timer = self.loop.call_later(HEAD_SECONDS, self._lose_patience)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._wait_no_more()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        self._moved = False
        super().data_received(data)
        if self._in_message:
            self._look(len(data))

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        super().on_message_begin()
        self._in_head = self._in_message = self._moved = True

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self.head_is_whole()
        super().on_headers_complete()

    def head_is_whole(self) -> None:
        """For those that do not go on to `on_headers_complete` of here."""
        self._in_head = False
        if self._timer is not None:
            self._wait_no_more()

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self.message_is_whole()
        super().on_message_complete()

    def message_is_whole(self) -> None:
        """For those that do not go on to `on_message_complete` of here."""
        self._in_message = False
        if self._timer is not None:
            self._wait_no_more()

    def body_is_late(self) -> None:
        """The rest of a body has not come in time; who reads it has a limit of its own."""

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP: uvicorn answers it with plain text."""
        self._part(400, "this is not an HTTP request that can be read", "an address of https:// needs --tls-cert here")

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def _look(self, size: int) -> None:
        """A request is not whole yet: limit what is no body, and the time."""
        self._loose = 0 if self._moved else self._loose + size
        if self._loose > MAX_HEAD:
            self._part(431, f"the head is larger than {MAX_HEAD >> 10} KB", "send fewer or shorter headers")
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS if self._in_head else BODY_SECONDS, self._lose_patience)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._loose = 0

    def _lose_patience(self) -> None:
        self._timer = None
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not self._in_head:
                self.body_is_late()
            self._timer = self.loop.call_later(HEAD_SECONDS, self._lose_patience)
        elif self._in_head:
            self._part(408, f"the request's head took longer than {HEAD_SECONDS:.0f} s", "send it faster")
        else:
            self._close()

    def _part(self, status: int, message: str, remedy: str) -> None:
        """Say why, and close; where another request is being answered on this connection, close only."""
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            body = render(Failure(status, message, remedy), "")
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
        self._close()

    def _close(self) -> None:
        self._wait_no_more()
        self.transport.close()
        self.loop.call_later(_PARTING_SECONDS, self.transport.abort)  # one who does not read would keep it open
