"""What stands before every page: who may ask, and what a browser may do with the answer."""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.errors import InputError
from tidemill.serve.limits import Access, header

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
"""For a drift report, a file that is whole in itself: its styles may stand in it, scripts may not run."""
COOKIE = "tidemill"
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Checks Host, Origin and token on every method, and puts the security headers on every answer.

    A browser cannot send a bearer token by itself: the address `/?token=TOKEN`, opened once, leaves it in a cookie
    that no script and no other site gets.
    """

    def __init__(self, app: ASGIApp, *, loopback: bool, token: str | None) -> None:
        self.app = app
        self.token = token
        self._named = Access(loopback, None)
        self._full = Access(loopback, token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("content-security-policy", POLICY)
                headers.setdefault("cache-control", "no-store")
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            asked = self._asked(scope)
            known = asked is not None or self._holds(_cookie(scope))
            (self._named if known else self._full).check(scope)
        except InputError as error:
            refused = PlainTextResponse(f"{error.headline}\n{error.remedy}\n", error.http_status)
            await refused(scope, receive, send_guarded)
            return
        if asked is not None:
            welcome = RedirectResponse(asked, 303)
            welcome.set_cookie(COOKIE, self.token or "", httponly=True, samesite="strict", max_age=30 * 86400)
            await welcome(scope, receive, send_guarded)
            return
        await self.app(scope, receive, send_guarded)

    def _holds(self, given: str) -> bool:
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())

    def _asked(self, scope: Scope) -> str | None:
        """Where to go without the token that the query rightly holds; None where it holds none."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if self.token is None or not any(name == "token" and self._holds(value) for name, value in query):
            return None
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        path = "/" + scope["path"].lstrip("/\\")  # never `//host`, which would be another site
        return f"{path}?{rest}" if rest else path


def _cookie(scope: Scope) -> str:
    try:
        found = SimpleCookie(header(scope, b"cookie")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
