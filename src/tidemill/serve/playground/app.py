"""The page and what its script reads, as an ASGI application to be mounted at /ui."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from tidemill.bundle.examples import read_examples
from tidemill.domain.digest import Digest
from tidemill.errors import NotFoundError, nearest
from tidemill.serve.playground.shown import Shown

STATIC = Path(__file__).parent / "static"
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES = ("playground.css", "playground.js", "asking.js", "giving.js", "answer.js", "favicon.svg")

OPEN = frozenset({"/ui", "/ui/", *(f"/ui/{name}" for name in _FILES)})
"""Paths that tell nothing of any model: a browser can open the page without a token, and the page then asks for it."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {"content-security-policy": POLICY, "referrer-policy": "no-referrer"}
_KEPT = 8  # models whose examples are kept, at most a few MB each


def playground(models: Callable[[], Iterable[Shown]]) -> Router:
    """The page over what `models` gives, which is asked anew for each request: versions change while it is open.

    Of several versions of one name the first is the one that answers without a version. Mount it at /ui. It raises
    NotFoundError and BundleError for the server to render, checks no Host, Origin or token itself, and its script asks
    the server's /v1 and /feedback as any other client does.
    """
    page = _Page(models)
    files = [Route(f"/{name}", _file(name)) for name in _FILES]
    return Router(
        [
            Route("/", _file("playground.html")),
            *files,
            Route("/models.json", page.models),
            Route("/examples.json", page.examples),
        ]
    )


class _Page:
    def __init__(self, models: Callable[[], Iterable[Shown]]) -> None:
        self._models = models
        self._kept: dict[Digest, bytes] = {}
        self._one_at_a_time = asyncio.Lock()

    async def models(self, request: Request) -> Response:
        known = list(self._models())
        names = [shown.name for shown in known]
        described = [shown.described(first=shown.name not in names[:at]) for at, shown in enumerate(known)]
        return JSONResponse(described, headers=_HEADERS)

    async def examples(self, request: Request) -> Response:
        shown = self._find(request.query_params.get("model", ""), request.query_params.get("version", ""))
        async with self._one_at_a_time:
            content = self._kept.pop(shown.opened.digest, None)
            if content is None:
                content = await asyncio.to_thread(lambda: json.dumps(read_examples(shown.opened)).encode())
            self._kept[shown.opened.digest] = content
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return Response(content, media_type="application/json", headers=_HEADERS)

    def _find(self, name: str, version: str) -> Shown:
        known = list(self._models())
        for shown in known:
            if (shown.name, str(shown.version)) == (name, version):
                return shown
        asked = f"{name[:60]}/{version[:20]}"
        names = [f"{shown.name}/{shown.version}" for shown in known]
        raise NotFoundError(f"no model {asked!r} is served here", nearest(asked, names, kind="models here"))


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    path = STATIC / name
    response = Response(path.read_bytes(), media_type=_KINDS[path.suffix], headers=_HEADERS)

    async def send(request: Request) -> Response:
        return response

    return send
