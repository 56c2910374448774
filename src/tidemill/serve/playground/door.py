"""The addresses below /ui where another process makes the page: who comes in, and what is said while it starts.

A browser sends no token with the files of a page. So the token is asked for here, and kept by the browser in a cookie
that no script reads, that goes to /ui only, and to no other site; the page's process is given it with each request and
has none of its own.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tidemill.errors import BusyError
from tidemill.serve.failure import refusal
from tidemill.serve.limits import PAGE_DATA, Access, Bodies, as_bearer
from tidemill.serve.playground.behind import Behind, NotThereError

_PAGES = Path(__file__).parent / "gradio_page" / "static"
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; manifest-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'"
)
"""Gradio puts script and style into its page; what it must not do is ask another host."""
_PLAIN = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'"
_ADDED = ((b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"same-origin"))
_OURS = frozenset({*PAGE_DATA, "/ui/playground.css", "/ui/favicon.svg"})
_COOKIE = "tidemill-page"
_METHODS = frozenset({"GET", "POST"})
_AGAIN = 2  # seconds
_FORM = 4 << 10  # bytes of the form with a token, which is read before anybody is known
_FIELDS = 4  # in it


class Door:
    """Mount it at /ui. `own` is the server's own page, of which files and data are used."""

    def __init__(self, socket: Path, own: ASGIApp, access: Access, bodies: Bodies, ending: Callable[[], bool]) -> None:
        self._behind = Behind(socket, ending)
        self._own, self._access, self._bodies = own, access, bodies
        self._starting, self._sign_in = ((_PAGES / f"{name}.html").read_text() for name in ("starting", "sign-in"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises InputError: 401 for a program without a token, 405 for other methods."""
        path = scope["path"]
        if path in _OURS:
            await self._own(scope, receive, send)
        elif scope["method"] not in _METHODS:
            raise refusal(405, "the page is asked by GET and POST", "open /ui in a browser")
        elif path == "/ui/sign-in" and scope["method"] == "POST":
            await (await self._enter(scope, receive))(scope, receive, send)
        elif path == "/ui/sign-out":
            await _leaving()(scope, receive, send)
        elif not self._access.asks:
            await self._pass(scope, receive, send, b"")
        elif self._access.knows(token := _token(Request(scope))):
            await self._pass(scope, receive, send, token)
        elif path in ("/ui/", "/ui/sign-in"):
            await self._asking("")(scope, receive, send)
        else:
            raise refusal(401, "a token is needed", "open /ui and give one")

    async def _enter(self, scope: Scope, receive: Receive) -> Response:
        """See whether the token in a form is known, and let the browser keep it."""
        token = _given(await self._bodies.read(scope, receive, _FORM))
        if not self._access.knows(b"Bearer " + token.encode()):
            return self._asking("This token is not known here, or is not good for predictions.")
        response = RedirectResponse("/ui/", 303)
        kept = urlsafe_b64encode(token.encode()).decode()
        secure = scope["scheme"] == "https"
        response.set_cookie(_COOKIE, kept, path="/ui", httponly=True, samesite="strict", secure=secure)
        return response

    def _asking(self, refused: str) -> Response:
        text = self._sign_in.replace("<!-- refused -->", refused)
        return HTMLResponse(text, 401, {"content-security-policy": _PLAIN})

    async def _pass(self, scope: Scope, receive: Receive, send: Send, token: bytes) -> None:
        body = await self._bodies.read(scope, receive)
        own = ((b"authorization", token),) if token else ()
        try:
            await self._behind(scope, receive, send, body, own, _ADDED)
        except NotThereError:
            if scope["path"] != "/ui/":
                raise BusyError("the page is starting", "try again in a few seconds") from None
            headers = {"retry-after": str(_AGAIN), "content-security-policy": _PLAIN}
            await HTMLResponse(self._starting, 503, headers)(scope, receive, send)


def _leaving() -> Response:
    response = RedirectResponse("/ui/", 303)
    response.delete_cookie(_COOKIE, path="/ui", httponly=True, samesite="strict")
    return response


def _given(body: bytes) -> str:
    """The token in a form; empty where there is none. Raises InputError, 400, for what is no such form."""
    try:
        form = parse_qs(body.decode("latin-1"), max_num_fields=_FIELDS)
    except ValueError:
        raise refusal(400, "this is not the form of the page", "open /ui and give the token there") from None
    return form.get("token", [""])[0].strip()


def _token(request: Request) -> bytes:
    """The header that a program sent, or what the browser keeps, as the header that it stands for.

    It is as `Access.knows` compares it, so that one that is known holds nothing beside the token.
    """
    if given := request.headers.get("authorization"):
        return as_bearer(given.encode("latin-1"))
    try:
        kept = SimpleCookie(request.headers.get("cookie", "")).get(_COOKIE)
        return as_bearer(b"Bearer " + urlsafe_b64decode(kept.value)) if kept else b""
    except (CookieError, ValueError):
        return b""
