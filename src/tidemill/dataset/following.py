"""Asking an address, and going where it leads: over TLS, and never into a private network.

The address itself is the user's word; a redirect is the word of somebody else, and may only lead to public addresses
over TLS. The check is made on the address that is connected to, so that a name cannot change between check and use.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from tidemill.errors import InputError

_REDIRECTS = 5
_TIMEOUT = 30.0
_Where = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
_Place = tuple[socket.AddressFamily, _Where]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, and the connection to close when it has been read."""

    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse


class Refused(Exception):
    """The server said no, for good; what it said."""


def follow(address: str, headers: dict[str, str], allow_http: bool) -> Answer:
    """What the server at `address` answers, after redirects. Raises InputError, Refused, OSError, HTTPException."""
    own = urlsplit(address).netloc
    places = _places(address)
    given = {place for _, place in places}
    for step in range(_REDIRECTS + 1):
        parts = urlsplit(address)
        if step:
            places = _places(address)
            _refuse_private(address, places, given if parts.netloc == own else set())
        connection = _connect(address, places)
        try:
            path = _quoted(parts.path or "/") + (f"?{_quoted(parts.query)}" if parts.query else "")
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        if response.status not in (301, 302, 303, 307, 308):
            return Answer(connection, response)
        connection.close()
        following = urljoin(address, _quoted((response.getheader("Location") or "").encode("latin-1")))
        if urlsplit(address).scheme == "https" and urlsplit(following).scheme != "https":
            raise InputError(f"{address} leads to {following}, without encryption", "give the other address itself")
        check_address(following, allow_http)
        address = following
    raise Refused(f"more than {_REDIRECTS} redirects")


def _places(address: str) -> list[_Place]:
    """Where the host of `address` is, as its name says right now."""
    host, port = _host(address)
    return [(family, place) for family, _, _, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _host(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    return (parts.hostname or "").encode("idna").decode(), parts.port or (443 if parts.scheme == "https" else 80)


def _quoted(text: str | bytes) -> str:
    """What is no plain character of an address, by its number; what has been written so stays."""
    return quote(text, safe="/%:?#[]@!$&'()*+,;=~")


def _refuse_private(address: str, places: list[_Place], given: set[_Where]) -> None:
    """Raises InputError for a place of a private network that is not one of `given`, where the user's own word led."""
    for _, place in places:
        if place not in given and not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_global:
            raise InputError(
                f"a redirect to {address} is not followed: {place[0]} is in a private network",
                "give that address itself, if you trust it",
            )


def _connect(address: str, places: list[_Place]) -> http.client.HTTPConnection:
    """A connection to the first of `places`, where the host of `address` is, that answers."""
    host, port = _host(address)
    plain = _open(places)
    if urlsplit(address).scheme == "https":
        secure = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT)
        secure.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        return secure
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    connection.sock = plain
    return connection


def _open(places: list[_Place]) -> socket.socket:
    problem: OSError = OSError("the host has no address")
    for family, place in places:
        plain = socket.socket(family, socket.SOCK_STREAM)
        plain.settimeout(_TIMEOUT)
        try:
            plain.connect(place)
            return plain
        except OSError as error:
            plain.close()
            problem = error
    raise problem


def check_address(address: str, allow_http: bool) -> None:
    """Raises InputError for an address that is not followed."""
    try:
        parts = urlsplit(address)
        _host(address)
    except ValueError:  # also UnicodeError: a part of the host's name that is empty or too long
        raise InputError(f"{address[:80]!r} is no address", "give one of the form  https://host/path") from None
    if parts.scheme == "http" and not allow_http:
        raise InputError(f"{address} is not encrypted", "use https, or say  --allow-http")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{address} is no address that can be fetched", "give one of the form  https://host/path")
    if parts.username or parts.password:
        raise InputError("the address holds a user name or password", "download it yourself, and add the file")
