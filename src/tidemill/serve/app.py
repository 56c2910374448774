"""The ASGI application: every request passes one guard, and every error is rendered in one place."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path
from typing import Literal

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.domain.prediction import new_prediction_id
from tidemill.serve.address import Address, Predict
from tidemill.serve.failure import ClientGone, render, to_failure
from tidemill.serve.feedback import TakeFeedback
from tidemill.serve.http import send_json
from tidemill.serve.limits import Access, header
from tidemill.serve.logs import TRACE, say_request
from tidemill.serve.metrics import CONTENT_TYPE
from tidemill.serve.openapi import openapi
from tidemill.serve.playground.app import playground
from tidemill.serve.playground.door import Door
from tidemill.serve.playground.shown import Shown
from tidemill.serve.service import Service
from tidemill.serve.slot import Slot
from tidemill.serve.tracing import open_tracer
from tidemill.serve.v1 import Plain
from tidemill.serve.v2 import Infer, v2_routes

Ui = Literal["page", "none"] | Path
"""What is at /ui: the server's own page, nothing, or what the process that listens on this socket makes."""
_DOCS = Path(__file__).parent / "static" / "docs.html"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SAFE = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_PARTING = ((b"connection", b"close"),)
_PLAIN, _INFER = Plain(), Infer()
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self' 'unsafe-inline'; connect-src 'self'"


def build_app(service: Service, access: Access, *, access_log: bool = False, ui: Ui = "page") -> Guard:
    """The application for one service. With `access_log` each request is a line of JSON on standard error."""
    return Guard(Router([*_routes(service), *_page(service, access, ui)]), service, access, access_log)


class Guard:
    """Checks who asks, counts, names the request, and turns what is raised into an answer."""

    def __init__(self, router: ASGIApp, service: Service, access: Access, access_log: bool) -> None:
        self._router = router
        self.service = service
        self.access = access
        self._access_log = access_log
        self._tracer = open_tracer()
        self.tells = access_log or self._tracer is not None
        self._prefix = new_prediction_id()  # of this server; requests are numbered from 1
        self._numbers = itertools.count(1)
        self._known = 0
        self._addresses: dict[bytes, tuple[Address, Slot]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # neither lifespan nor websockets
            return
        began = time.perf_counter()
        meters = self.service.meters
        request_id = self.request_id(header(scope, b"x-request-id"))
        status = 0

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                parting = _PARTING if self.service.draining else ()
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *_SAFE, *parting]
            await send(message)

        meters.in_flight += 1
        scope["app"] = self  # with it, the router raises what it does not know instead of answering in plain text
        try:
            self.access.check(scope)
            await self._router(scope, receive, named)
        except ClientGone:
            return
        except Exception as error:  # the outermost frame of a request
            if not status:
                failure = to_failure(error, request_id)
                if failure.status == 429:
                    self.count_refusal(scope)
                await send_json(named, failure.status, render(failure, scope["path"]), failure.headers)
        finally:
            self.service.bodies.release(scope)
            meters.in_flight -= 1
            if status:
                meters.statuses[status] += 1
            if self.tells:
                self.tell(scope, request_id, status, began)

    def tell(self, scope: Scope, request_id: str, status: int, began: float) -> None:
        """Trace a request, and log it; `began` is time.perf_counter(). A `status` of 0: the client went away."""
        seconds = time.perf_counter() - began
        if self._tracer is not None:
            scope[TRACE] = self._tracer.request(scope, request_id, status, seconds)
        if self._access_log:
            say_request(scope, request_id, status, seconds)

    def address(self, url: bytes) -> tuple[Address, Slot] | None:
        """The protocol at `url`, as clients write it, and who answers there; None for all but predictions."""
        if self._known != self.service.changes:
            self._known = self.service.changes
            self._addresses = {}
            for slot in reversed(self.service.slots):  # of one name, the first is the one that is meant without version
                for protocol, version, end in ((_PLAIN, "v1", ":predict"), (_INFER, "v2", "/infer")):
                    base = f"/{version}/models/{slot.model.name}"
                    self._addresses[f"{base}{end}".encode()] = protocol, slot
                    self._addresses[f"{base}/versions/{slot.model.version}{end}".encode()] = protocol, slot
        return self._addresses.get(url)

    def count_refusal(self, scope: Scope) -> None:
        """Count a prediction that was refused because its token asks too often."""
        found = self.address(scope["path"].encode())
        if found is not None:
            self.service.meters.model(found[1].model).failures["rate"] += 1

    def request_id(self, given: str) -> str:
        """The id that the client gave, if it can be one; or the next of this server's own."""
        return given if _REQUEST_ID.fullmatch(given) else f"{self._prefix}-{next(self._numbers)}"


def _routes(service: Service) -> list[BaseRoute]:
    async def metrics(request: Request) -> Response:
        return Response(service.metrics(), media_type=CONTENT_TYPE)

    async def description(request: Request) -> Response:
        return Response(openapi([slot.model for slot in service.slots]), media_type="application/json")

    async def docs(request: Request) -> Response:
        return FileResponse(_DOCS, media_type="text/html", headers={"content-security-policy": _POLICY})

    async def home(request: Request) -> Response:
        return RedirectResponse("/docs")

    return [
        Route("/v1/models/{name}:predict", Predict(service, _PLAIN), methods=["POST"]),
        Route("/v1/models/{name}/versions/{version}:predict", Predict(service, _PLAIN), methods=["POST"]),
        *v2_routes(service),
        Route("/feedback", TakeFeedback(service), methods=["POST"]),
        Route("/metrics", metrics),
        Route("/openapi.json", description),
        Route("/docs", docs),
        Route("/", home),
    ]


def _page(service: Service, access: Access, ui: Ui) -> list[BaseRoute]:
    """What people see at /ui."""

    async def to_page(request: Request) -> Response:
        return RedirectResponse("/ui/")  # what is relative on the page starts there

    def shown() -> list[Shown]:
        models = [slot.model for slot in service.slots]
        return [Shown(model.name, model.version, model.predictor.opened) for model in models]

    if ui == "none":
        return []
    page: ASGIApp = playground(shown)
    if isinstance(ui, Path):
        access.page_asks = True
        page = Door(ui, page, access, service.bodies, lambda: service.draining)
    return [Route("/ui", to_page), Mount("/ui", page)]
