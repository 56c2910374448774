"""The page mounted beside a real server: `tidemill serve` as a process, and what is not the page handed on to it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from tidemill.bundle.read import open_bundle
from tidemill.errors import TidemillError
from tidemill.serve.playground.app import OPEN, playground
from tidemill.serve.playground.shown import Shown


@contextmanager
def serving(models: Sequence[str], folder: Path, token: str | None = None) -> Iterator[str]:
    """The address of a real server, started in `folder`, whose log is at folder/log."""
    environment = dict(os.environ)
    if token is not None:
        environment["TIDEMILL_TOKEN"] = token
    command = [sys.executable, "-m", "tidemill", "serve", *models, "--port", "0", "--log", str(folder / "log")]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().split()
            yield next(word for word in said if word.startswith("http"))
        finally:
            process.terminate()


@contextmanager
def hosting(bundles: Sequence[Path], folder: Path, token: str | None = None) -> Iterator[str]:
    """The address of a server of `bundles` with its page."""
    shown = [Shown(opened.bundle.name, 0, opened) for opened in map(open_bundle, bundles)]
    with serving([str(each) for each in bundles], folder, token) as server, beside(server, lambda: shown, token) as url:
        yield url


@contextmanager
def beside(server: str, models: Callable[[], list[Shown]], token: str | None = None) -> Iterator[str]:
    """The address of the page over `models`, which answer at `server`."""
    config = uvicorn.Config(_app(models, server, token), port=0, log_config=None, lifespan="off", ws="none")
    host = uvicorn.Server(config)
    thread = threading.Thread(target=host.run)
    thread.start()
    try:
        while not host.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{host.servers[0].sockets[0].getsockname()[1]}"
    finally:
        host.should_exit = True
        thread.join()


def _app(models: Callable[[], list[Shown]], server: str, token: str | None) -> Starlette:
    async def hand_on(request: Request) -> Response:
        headers = {name: value for name, value in request.headers.items() if name in ("content-type", "authorization")}
        async with httpx.AsyncClient(base_url=server) as client:
            answer = await client.request(
                request.method, request.url.path, content=await request.body(), headers=headers
            )
        return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, TidemillError)
        return JSONResponse({"error": {"message": error.headline, "remedy": error.remedy}}, error.http_status)

    page = playground(models)

    async def guarded(scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # ASGI's three
        known = token is None or dict(scope["headers"]).get(b"authorization") == f"Bearer {token}".encode()
        if known or scope["path"] in OPEN:
            await page(scope, receive, send)
        else:
            await JSONResponse({"error": {"message": "a token is needed"}}, 401)(scope, receive, send)

    return Starlette(
        routes=[
            Route("/ui", lambda request: RedirectResponse("/ui/")),
            Mount("/ui", guarded),
            Route("/{path:path}", hand_on, methods=["GET", "POST"]),
        ],
        exception_handlers={TidemillError: failed},
    )
