"""Gradio's page without what points elsewhere: pictures for social media, and a manifest at the server's root."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PAGE = "/ui/"
_ELSEWHERE = re.compile(
    rb'<meta\s+(?:property|name)="(?:og|twitter):[^"]*"[^>]*>|<link rel="manifest"[^>]*>|<meta name="twitter:[^>]*>'
)
_HEAD = b"<head>"
_ICON = b'<link rel="icon" href="favicon.svg">'  # relative to the base, which is /ui/


class Tidy:
    """Stands before Gradio's application, and changes its page only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http" or scope["path"] != _PAGE:
            await self._app(scope, receive, send)
            return
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        start: Message = {}
        pieces: list[bytes] = []

        async def gather(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            pieces.append(message.get("body", b""))
            if not message.get("more_body"):
                page = tidy(b"".join(pieces))
                kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
                await send({**start, "headers": [*kept, (b"content-length", b"%d" % len(page))]})
                await send({"type": "http.response.body", "body": page})

        await self._app({**scope, "headers": plain}, receive, gather)


def tidy(page: bytes) -> bytes:
    """The page's HTML without addresses of other hosts, and with the server's own icon."""
    return _ELSEWHERE.sub(b"", page).replace(_HEAD, _HEAD + _ICON, 1)
