"""Hands a request to the page's process over its socket, and its answer back as it comes.

One connection a request; an answer may be a stream of events that lasts as long as a page is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import httptools
from starlette.types import Receive, Scope, Send

from tidemill.errors import BusyError
from tidemill.serve.failure import refusal
from tidemill.serve.playground.place import is_own

MOST = 128
"""Requests that are open at one time, of each worker; a page that is open has one or two."""
_CONNECTS = 5.0  # seconds
_SILENT = 60.0  # seconds without a byte: Gradio's streams say something every fifteen
_LOOK = 0.5  # seconds between two looks at whether the server ends
_PIECE = 1 << 16  # bytes
_HEAD = 1 << 16  # bytes of an answer's head
_ASKED = frozenset(
    {
        b"host", b"origin", b"referer", b"accept", b"accept-encoding", b"accept-language", b"content-type", b"range",
        b"user-agent", b"x-gradio-user", b"x-forwarded-host", b"x-forwarded-proto",
    }
)  # fmt: skip
_ANSWERED = frozenset(
    {
        b"content-type", b"content-length", b"content-encoding", b"content-disposition", b"content-range",
        b"accept-ranges", b"location", b"vary",
    }
)  # fmt: skip
_BREAKS = (b"\r", b"\n", b"\0")  # with which a value would say more than itself
Header = tuple[bytes, bytes]


class NotThereError(Exception):
    """The page's process does not listen, or went away before it answered."""


class Behind:
    """What listens on `socket`. `ending` says that the server ends: streams are then closed."""

    def __init__(self, socket: Path, ending: Callable[[], bool]) -> None:
        self._socket, self._ending = socket, ending
        self._open = 0

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, body: bytes, own: Iterable[Header], added: Iterable[Header]
    ) -> None:
        """Ask with `body` and with headers of our `own`; the answer bears those `added`.

        Raises NotThereError before anything was answered, BusyError for too many at a time, and InputError, 400, for
        what cannot be said in a request's head.
        """
        if self._open >= MOST:
            raise BusyError("too many requests for the page at a time", "close a few of its tabs")
        head = _head(scope, len(body), own)
        self._open += 1
        try:
            reader, writer = await self._connect()
            try:
                writer.writelines((head, body))
                await self._hand_back(reader, receive, send, tuple(added))
            finally:
                writer.close()
        finally:
            self._open -= 1

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not is_own(self._socket.parent):
            raise NotThereError
        try:
            async with asyncio.timeout(_CONNECTS):
                return await asyncio.open_unix_connection(str(self._socket))
        except (OSError, TimeoutError):
            raise NotThereError from None

    async def _hand_back(
        self, reader: asyncio.StreamReader, receive: Receive, send: Send, added: tuple[Header, ...]
    ) -> None:
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        gone = asyncio.ensure_future(_gone(receive))
        begun, broken, size = False, False, 0
        try:
            while not answer.whole:
                try:
                    piece = await self._next(reader, gone)
                except ConnectionError:
                    broken = True
                    break
                if not piece:
                    break
                size += len(piece)
                try:
                    parser.feed_data(piece)
                except httptools.HttpParserError:
                    break
                if not answer.known and size > _HEAD:
                    break
                if answer.known and not begun:
                    begun = True
                    headers = [*answer.headers, *added]
                    await send({"type": "http.response.start", "status": parser.get_status_code(), "headers": headers})
                if answer.parts:
                    await send({"type": "http.response.body", "body": b"".join(answer.parts), "more_body": True})
                    answer.parts.clear()
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone
        if not begun:
            raise NotThereError
        if answer.whole or (answer.endless and not broken):
            await send({"type": "http.response.body", "body": b""})
        # else it is cut short, and the connection is closed to say so

    async def _next(self, reader: asyncio.StreamReader, gone: asyncio.Future[None]) -> bytes:
        """The next bytes; none at the end, after too long a silence, and when nobody is there to be answered."""
        reading = asyncio.ensure_future(reader.read(_PIECE))
        waited = 0.0
        try:
            while waited < _SILENT and not self._ending():
                done, _ = await asyncio.wait((reading, gone), timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
                if reading in done:
                    return reading.result()
                if gone in done:
                    return b""
                waited += _LOOK
            return b""
        finally:
            reading.cancel()


class _Answer:
    """What httptools finds in the bytes of an answer."""

    def __init__(self) -> None:
        self.headers: list[Header] = []
        self.parts: list[bytes] = []
        self.known = self.whole = False

    @property
    def endless(self) -> bool:
        """Whether the answer's length is not said beforehand."""
        return all(name != b"content-length" for name, _ in self.headers)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in _ANSWERED:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.known = True

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        self.whole = True


def _head(scope: Scope, length: int, own: Iterable[Header]) -> bytes:
    """The request's head. What is not known to be of use to the page stays here: cookies and tokens above all."""
    target = scope.get("raw_path") or scope["path"].encode()
    if query := scope["query_string"]:
        target += b"?" + query
    headers = [(name, value) for name, value in scope["headers"] if name in _ASKED]
    if scope["scheme"] == "https" and all(name != b"x-forwarded-proto" for name, _ in headers):
        headers.append((b"x-forwarded-proto", b"https"))
    if length:
        headers.append((b"content-length", b"%d" % length))
    lines = [scope["method"].encode() + b" " + target + b" HTTP/1.1", b"connection: close"]
    lines += [name + b": " + value for name, value in (*headers, *own)]
    if any(mark in line for line in lines for mark in _BREAKS):
        raise refusal(400, "the address or a header holds a line break", "send it without")
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
