"""An address at which a model predicts, apart from how requests reach it: a body to inputs, an answer to a body."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tidemill.serve.http import JSON, send_json
from tidemill.serve.logs import ANSWER

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from tidemill.serve.job import Answer, Given
    from tidemill.serve.model import ServedModel
    from tidemill.serve.service import Service

Headers = Mapping[bytes, bytes]
"""By lower-case name; of one that came twice, the last."""


class Body(NamedTuple):
    """What is sent: `kind` is its content type, `headers` come beside it."""

    content: bytes
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Address(Protocol):
    """One protocol's form of requests and answers. `asked` is what `write` needs to know of the request."""

    def read(self, model: ServedModel, headers: Headers, body: bytes) -> tuple[Given, Any]:
        """The inputs of a request. Raises InputError."""

    def write(self, answer: Answer, asked: Any) -> Body:
        """The answer's body."""


class Predict:
    """An address as an ASGI application."""

    def __init__(self, service: Service, address: Address) -> None:
        self._service, self._address = service, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = time.perf_counter()
        service, named = self._service, scope["path_params"]
        service.find(named["name"], named.get("version"))
        body = await service.bodies.read(scope, receive)
        slot = service.find(named["name"], named.get("version"))  # a long body may have outlived a version
        given, asked = self._address.read(slot.model, dict(scope["headers"]), body)
        answer = scope[ANSWER] = await slot.ask(given, received)
        content, kind, headers = self._address.write(answer, asked)
        await send_json(send, 200, content, headers, kind)
