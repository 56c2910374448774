"""What of Gradio's own addresses a page needs, and nothing else; and no file but those that it was given.

Gradio takes the description of a file for a file, wherever one comes: a path on this machine, or an address to fetch
it from. A browser sends only those that it uploaded before, so that all others are refused.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FOLDERS = ("/ui/static/", "/ui/assets/", "/ui/svelte/", "/ui/gradio_api/heartbeat/", "/ui/gradio_api/file=")
_ADDRESSES = frozenset(
    {
        "/ui/", "/ui/config", "/ui/theme.css", "/ui/favicon.ico", "/ui/manifest.json", "/ui/gradio_api/upload",
        "/ui/gradio_api/upload_progress", "/ui/gradio_api/queue/join", "/ui/gradio_api/queue/data",
        "/ui/gradio_api/cancel", "/ui/gradio_api/reset", "/ui/gradio_api/startup-events",
    }
)  # fmt: skip
_FILE = "/ui/gradio_api/file="
_TAKES_DATA = "/ui/gradio_api/queue/join"
_TAKES_FILES = "/ui/gradio_api/upload"
_DEEP = 32
_ROOM = 1 << 30  # bytes of files at one time; they are removed after an hour


class Guard:
    """Stands before Gradio's application; `files` is the folder of what was uploaded and shown."""

    def __init__(self, app: ASGIApp, files: Path) -> None:
        self._app, self._files = app, files.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] == "http":
            path = scope["path"]
            if path not in _ADDRESSES and not path.startswith(_FOLDERS):
                await _no(404, "this page has no such address")(scope, receive, send)
                return
            if path.startswith(_FILE) and not self._is_ours(path.removeprefix(_FILE)):
                await _no(403, "this file is not the page's")(scope, receive, send)
                return
            if path == _TAKES_FILES and _size(self._files) > _ROOM:
                await _no(507, "too much was uploaded lately")(scope, receive, send)
                return
            if path == _TAKES_DATA:
                body = await _whole(receive)
                if not self._is_harmless(body):
                    await _no(400, "this names a file that was not uploaded here")(scope, receive, send)
                    return
                receive = _again(body, receive)
        await self._app(scope, receive, send)

    def _is_harmless(self, body: bytes) -> bool:
        try:
            return self._names_ours(json.loads(body), _DEEP)
        except (ValueError, RecursionError):
            return False

    def _names_ours(self, value: Any, deep: int) -> bool:
        """Whether every file that is described anywhere in `value` lies in the folder."""
        if deep == 0:
            return False
        if isinstance(value, list):
            return all(self._names_ours(each, deep - 1) for each in value)
        if isinstance(value, dict):
            path = value.get("path")
            if path is not None and not (isinstance(path, str) and self._is_ours(path)):
                return False
            return all(self._names_ours(each, deep - 1) for each in value.values())
        return True

    def _is_ours(self, path: str) -> bool:
        try:
            return Path(path).is_absolute() and Path(path).resolve().is_relative_to(self._files)
        except (OSError, ValueError):
            return False


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            total += path.lstat().st_size
    return total


def _no(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "remedy": "open /ui"}}, status)


async def _whole(receive: Receive) -> bytes:
    """The body, which the server before this one has bounded."""
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


def _again(body: bytes, receive: Receive) -> Receive:
    """What gives `body` once, and then whatever comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return waiting.pop() if waiting else await receive()

    return give
