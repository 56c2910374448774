"""Who may ask, and how much: Host, Origin and token on every method, and the size of a body."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress

from starlette.types import Receive, Scope

from tidemill.errors import BusyError, ConfigError, InputError
from tidemill.serve.coding import PORTION, Unpacker, unpacker
from tidemill.serve.failure import ClientGone, refusal
from tidemill.serve.keys import Keys
from tidemill.serve.logs import USER
from tidemill.serve.playground.app import OPEN
from tidemill.serve.tokens import Right

MAX_BODY = 32 << 20  # bytes
MAX_HELD = 256 << 20
BODY_SECONDS = 30.0
_HELD = "tidemill.held"
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
_BEARER = b"Bearer "
_HEARD = 1024  # Host and Origin pairs that are kept as heard
_PREDICT = ("/v1/", "/v2", "/ui")
_REPOSITORY = "/v2/repository"
PAGE_DATA = frozenset({"/ui/models.json", "/ui/examples.json"})
"""What a page reads of the models. A token is needed, and its rate does not count them."""
_DESCRIPTION = frozenset({"/", "/openapi.json"})
_OPEN = (
    frozenset({"/v2/health/live", "/v2/health/ready", "/docs"}) | OPEN
)  # a probe has no token, and they tell nothing


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def needed(path: str) -> Right | None:
    """What a token must be good for to ask at `path`; None where none is needed."""
    if path in _OPEN:
        return None
    if path == "/feedback":
        return "feedback"
    if (path.startswith(_PREDICT) and not path.startswith(_REPOSITORY)) or path in _DESCRIPTION:
        return "predict"
    return "admin"  # whatever is added later is not open to everybody by having been forgotten here


class Access:
    """Who may ask. Bound to loopback, only names of this machine are heard; beyond it a token is needed.

    `token` has every scope; `keys` are those of the project's file. Where both are None, no token is asked for.
    """

    def __init__(self, loopback: bool, token: str | None, keys: Keys | None = None) -> None:
        self.loopback = loopback
        self.page_asks = False
        """Whether what is mounted at /ui asks for the token itself; what it reads of the models is asked for here."""
        self._token = None if token is None else _BEARER + token.encode()
        self._keys = keys
        self._heard: set[tuple[bytes, bytes]] = set()

    def check(self, scope: Scope) -> None:
        """Raises InputError: 403 for a foreign Host or Origin, or for a token without the scope, 401 for a missing or
        wrong token; BusyError, 429, for one that asks more often than it may.

        The name of a token of the project is left in the scope, for the log.
        """
        host = origin = given = b""
        for key, value in reversed(scope["headers"]):  # of one that came twice, the first
            if key == b"host":
                host = value
            elif key == b"authorization":
                given = value
            elif key == b"origin":
                origin = value
        if (host, origin) not in self._heard:
            self._hear(host, origin)
        if self._token is None and self._keys is None:
            return
        right = needed(scope["path"])
        if self.page_asks and scope["path"].startswith("/ui/") and scope["path"] not in PAGE_DATA:
            return
        given = as_bearer(given)
        if right is None or (self._token is not None and hmac.compare_digest(given, self._token)):
            return
        if self._keys is None or not (name := self._keys.check(given, right, scope["path"] not in PAGE_DATA)):
            wrong = "the token is not known here" if given.startswith(_BEARER) else "a token is needed"
            raise refusal(401, wrong, "send the header  Authorization: Bearer TOKEN")
        scope[USER] = name

    @property
    def asks(self) -> bool:
        """Whether a token is asked for."""
        return self._token is not None or self._keys is not None

    def knows(self, given: bytes) -> bool:
        """Whether the value of an Authorization header is good for predictions. It is not counted as a request."""
        given = as_bearer(given)
        if self._token is not None and hmac.compare_digest(given, self._token):
            return True
        return self._keys is not None and self._keys.knows(given, "predict")

    def _hear(self, host: bytes, origin: bytes) -> None:
        if self.loopback and _name(host.decode("latin-1")) not in _LOCAL:
            raise refusal(403, "this server answers only as localhost", "use http://localhost or http://127.0.0.1")
        if origin and origin not in (b"http://" + host, b"https://" + host):
            raise refusal(403, "requests from pages of other sites are refused", "ask from a program, or from /docs")
        if len(self._heard) >= _HEARD:
            self._heard.clear()
        self._heard.add((host, origin))


def check_token(token: str) -> str:
    """The token, if it can be one. Raises ConfigError."""
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            "the token is not one: it needs at least 16 characters, printable and without spaces",
            "make one:  python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return token


def header(scope: Scope, name: bytes) -> str:
    """The value of a request's header, or the empty string."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return ""


class Bodies:
    """Reads the bodies of requests. All that are held at one time have MAX_HELD bytes at most."""

    def __init__(self) -> None:
        self._held = 0

    async def read(self, scope: Scope, receive: Receive, most: int = MAX_BODY) -> bytes:
        """The whole body, unpacked, of at most so many bytes, which counts as held until `release`.

        Raises InputError: 413 when it is too large, as it comes or unpacked, 408 when it comes too slowly, 415 and 400
        as `unpacker`; BusyError when too much is held.
        """
        length = header(scope, b"content-length")
        if length.isdigit() and int(length) > most:
            raise _too_large(most)
        unpack = unpacker(header(scope, b"content-encoding"))
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body, more = await _piece(receive)
                if not more and unpack is None and len(body) <= most:
                    return body
                scope[_HELD] = 0
                pieces = await self._kept(scope, body, unpack, most)
                while more:
                    body, more = await _piece(receive)
                    pieces += await self._kept(scope, body, unpack, most)
        except TimeoutError:
            raise body_too_slow() from None
        if unpack is not None:
            unpack.finish()
        return b"".join(pieces)

    def reserve(self, scope: Scope, size: int) -> None:
        """Count a body that somebody else reads, once, until `release`. Raises BusyError when too much is held."""
        if _HELD not in scope:
            scope[_HELD] = 0
            self._hold(scope, size, MAX_BODY)

    def release(self, scope: Scope) -> None:
        """The request with `scope` was answered."""
        self._held -= scope.pop(_HELD, 0)

    async def _kept(self, scope: Scope, piece: bytes, unpack: Unpacker | None, most: int) -> list[bytes]:
        """A piece as it is held. While much is unpacked of it, the event loop has its turns."""
        kept = []
        for portion in (piece,) if unpack is None else unpack.feed(piece):
            self._hold(scope, len(portion), most)
            kept.append(portion)
            if unpack is not None and len(portion) == PORTION:
                await asyncio.sleep(0)
        return kept

    def _hold(self, scope: Scope, size: int, most: int) -> None:
        scope[_HELD] += size
        self._held += size
        if scope[_HELD] > most:
            raise _too_large(most)
        if self._held > MAX_HELD:
            raise BusyError("too many large requests at a time", "try again in a second")


def body_too_slow() -> InputError:
    """A body that does not come."""
    return refusal(408, f"the body took longer than {BODY_SECONDS:.0f} s", "send it faster, or less")


async def _piece(receive: Receive) -> tuple[bytes, bool]:
    """The next piece of a body, and whether more follows."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), bool(message.get("more_body"))


def _too_large(most: int) -> Exception:
    size = f"{most >> 20} MB" if most >= 1 << 20 else f"{most >> 10} KB"
    return refusal(413, f"the body is larger than {size}", "send less at a time")


def as_bearer(given: bytes) -> bytes:
    """RFC 9110: however the scheme is written."""
    return _BEARER + given[7:].strip() if given[:7].lower() == b"bearer " else given


def _name(host: str) -> str:
    """The host without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()
