"""The short way of a prediction: a whole JSON request to the model in service is answered without an ASGI application.

Of what a small model's answer costs, the layers between the socket and the model would be most: a scope, a task, a
receive channel, two messages. A request that is as nearly all are takes none of them: `POST /v1/models/NAME:predict`
of a JSON body that comes with its length, is not large and not compressed, on a connection that waits for no other
answer. All others go through the application; checks, limits, answers and errors are the same code on both ways.
"""

from __future__ import annotations

import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tidemill.serve.address import Address, Headers
from tidemill.serve.app import Guard
from tidemill.serve.failure import render, to_failure
from tidemill.serve.http import JSON
from tidemill.serve.job import Answer
from tidemill.serve.limits import body_too_slow
from tidemill.serve.logs import ANSWER
from tidemill.serve.patience import PatientProtocol
from tidemill.serve.slot import Slot

LARGEST = 1 << 20  # bytes of a body


class QuickProtocol(PatientProtocol):
    """uvicorn's protocol, with the short way."""

    def __init__(self, *given: Any, guard: Guard, **named: Any) -> None:
        super().__init__(*given, **named)
        self.guard = guard

    def on_headers_complete(self) -> None:
        """Take the request on the short way, or leave it to the application."""
        idle = self.cycle is None or self.cycle.response_complete
        found = self.guard.address(self.url)
        if idle and found is not None and self.parser.get_method() == b"POST":
            headers = dict(self.headers)
            length = headers.get(b"content-length", b"")
            if (
                length.isdigit()
                and int(length) <= LARGEST
                and len(headers) == len(self.headers)
                and b"content-encoding" not in headers
                and not self.expect_100_continue
                and not self.parser.should_upgrade()
                and self.parser.get_http_version() == "1.1"
                and not self.flow.write_paused  # one who does not read its answers is made to wait by the application
            ):
                self.head_is_whole()
                self.scope["method"], self.scope["path"] = "POST", self.url.decode()
                self.cycle = _Quick(self, *found, headers, self.parser.should_keep_alive())  # type: ignore[assignment]
                return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        cycle: Any = self.cycle
        if type(cycle) is _Quick:
            self._moved = True
            cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A body is whole."""
        cycle: Any = self.cycle
        if type(cycle) is _Quick:
            self.message_is_whole()
            cycle.begin()
        else:
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, perhaps within a body."""
        cycle: Any = self.cycle
        if type(cycle) is _Quick and cycle.more_body and not cycle.response_complete:
            cycle.forget()
        super().connection_lost(exc)

    def _look(self, size: int) -> None:
        cycle: Any = self.cycle
        if type(cycle) is _Quick and cycle.more_body and not cycle.response_complete:
            cycle.hold()
        super()._look(size)

    def body_is_late(self) -> None:
        """The body has not come."""
        cycle: Any = self.cycle
        if type(cycle) is _Quick:
            cycle.too_late()


class _Event:
    """Nobody waits for more of a body on the short way."""

    def set(self) -> None: ...


class _Quick:
    """One request on the short way; to the protocol it is as uvicorn's own cycle."""

    message_event = _Event()

    __slots__ = (
        "_address",
        "_asked",
        "_began",
        "_guard",
        "_headers",
        "_protocol",
        "_request",
        "_scope",
        "_slot",
        "body",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
    )

    def __init__(
        self, protocol: QuickProtocol, address: Address, slot: Slot, headers: Headers, keep_alive: bool
    ) -> None:
        self._address, self._slot, self._headers = address, slot, headers
        self._asked: Any = None
        self._protocol, self._guard = protocol, protocol.guard
        self._scope: Any = protocol.scope
        self.body = bytearray()
        self.keep_alive = keep_alive
        self.response_complete = self.disconnected = False
        self.more_body = True
        self._began = time.perf_counter()
        self._guard.service.meters.in_flight += 1
        self._request = self._guard.request_id(headers.get(b"x-request-id", b"").decode("latin-1"))

    def begin(self) -> None:
        """The body is whole: check it, and have it answered."""
        self.more_body = False
        if self.response_complete:
            return
        try:
            self._guard.access.check(self._scope)
            given, self._asked = self._address.read(self._slot.model, self._headers, bytes(self.body))
            self._slot.submit(given, self._began, self._reply, self._gone)
        except Exception as error:  # the outermost frame of a request
            self._reply(error)

    def hold(self) -> None:
        """The body comes in pieces: from now on it counts among those that are held."""
        try:
            self._guard.service.bodies.reserve(self._scope, int(self._headers[b"content-length"]))
        except Exception as error:  # the outermost frame of a request
            self.keep_alive = False
            self._reply(error)

    def forget(self) -> None:
        """Nobody waits for an answer any more, and there is none to be made."""
        self._guard.service.meters.in_flight -= 1
        self._guard.service.bodies.release(self._scope)

    def too_late(self) -> None:
        """The body has not come."""
        if self.more_body and not self.response_complete:
            self.keep_alive = False
            self._reply(body_too_slow())

    def _gone(self) -> bool:
        return self.disconnected or self._protocol.transport.is_closing()

    def _reply(self, answer: Answer | Exception) -> None:
        if not isinstance(answer, Exception):
            if self._guard.tells:
                self._scope[ANSWER] = answer
            body, kind, headers = self._address.write(answer, self._asked)
            self._send(200, body, kind, b"".join(b"%b: %b\r\n" % each for each in headers))
            return
        failure = to_failure(answer, self._request)
        if failure.status == 429:
            self._guard.count_refusal(self._scope)
        more = b"".join(b"%b: %b\r\n" % each for each in failure.headers)
        self._send(failure.status, render(failure, self._scope["path"]), JSON, more)

    def _send(self, status: int, body: bytes, kind: bytes, more: bytes) -> None:
        guard = self._guard
        keep = self.keep_alive and not guard.service.draining
        self.response_complete = True
        guard.service.bodies.release(self._scope)
        meters = guard.service.meters
        meters.in_flight -= 1
        meters.statuses[status] += 1
        if not self._gone():
            self._write(status, body, kind, more, keep)
        if guard.tells:
            guard.tell(self._scope, self._request, status, self._began)

    def _write(self, status: int, body: bytes, kind: bytes, more: bytes, keep: bool) -> None:
        protocol = self._protocol
        protocol.transport.write(
            b"%bcontent-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
            b"x-content-type-options: nosniff\r\ncache-control: no-store\r\n%b%b\r\n%b"
            % (
                STATUS_LINE[status],
                kind,
                len(body),
                self._request.encode(),
                more,
                b"" if keep else b"connection: close\r\n",
                body,
            )
        )
        if not keep:
            protocol.transport.close()
        protocol.on_response_complete()
