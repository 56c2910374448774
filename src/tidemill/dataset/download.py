"""Fetching a file by its address: resumed, retried, bounded, and never led into a private network.

The address itself is the user's word; a redirect is the word of somebody else, and may only lead to public addresses
over TLS. The check is made on the address that is connected to, so that a name cannot change between check and use.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urljoin, urlsplit

from tidemill import __version__
from tidemill.domain.digest import Digest
from tidemill.errors import DataError, InputError, StorageError
from tidemill.files import fsync_directory, write_atomic

_TRIES, _REDIRECTS, _CHUNK = 6, 5, 1 << 20
_TIMEOUT = 30.0
_PERMANENT = range(400, 500)
_TRANSIENT = frozenset({408, 425, 429})
MAX_BYTES = 50_000_000_000


@dataclass(frozen=True, slots=True)
class _Answer:
    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse


class _Refused(Exception):
    """The server said no, for good; what it said."""


class _Changed(Exception):
    """What is there is not what the first part came from."""


def file_name(address: str) -> str:
    """The last part of an address's path, as a plain file name."""
    name = unquote(urlsplit(address).path).rsplit("/", 1)[-1]
    name = "".join(each for each in name if each.isalnum() or each in "._- ").lstrip(". ")
    return name[-100:] or "data"


def download(
    address: str, folder: Path, *, pinned: Digest | None, allow_http: bool, progress: Callable[[int, int], None],
    limit: int = MAX_BYTES,
) -> tuple[Path, Digest]:  # fmt: skip
    """The file at `address`, in `folder` under its own name, with its digest; what is there whole is kept.

    A file that is pinned and there is not asked for again. Raises InputError for an address that is not followed,
    DataError for other bytes than `pinned`, StorageError when it cannot be had.
    """
    _check_address(address, allow_http)
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / file_name(address)
    if pinned is not None and final.is_file() and Digest.of_file(final) == pinned:
        return final, pinned
    part = folder / f".{final.name}.part"
    for attempt in range(1, _TRIES + 1):
        try:
            _fetch(address, part, allow_http, progress, limit)
            break
        except _Refused as error:
            raise StorageError(f"{address} cannot be had: {error}", "check the address") from None
        except _Changed:
            part.unlink(missing_ok=True)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, ssl.SSLCertVerificationError):
                raise StorageError(
                    f"{address}: its certificate is not valid: {error.verify_message}", "do not use it"
                ) from None
            if attempt == _TRIES:
                raise StorageError(
                    f"{address} cannot be had: {error or type(error).__name__}",
                    "run the same command again: it goes on where it was",
                ) from None
        time.sleep(min(0.25 * 2**attempt, 8))
    else:
        raise StorageError(f"{address} changes while it is fetched", "run the same command again")
    digest = Digest.of_file(part)
    if pinned is not None and digest != pinned:
        part.unlink()
        raise DataError(
            f"{address} has other bytes than pinned: {digest}, not {pinned}",
            "if the change is meant, pin the new digest:  --digest",
        )
    os.replace(part, final)
    _note(part).unlink(missing_ok=True)
    fsync_directory(folder)
    return final, digest


def _fetch(address: str, part: Path, allow_http: bool, progress: Callable[[int, int], None], limit: int) -> None:
    """Bring `part` to its end. What a connection lost earlier has brought stays, if the server still has the same."""
    had = part.stat().st_size if part.is_file() else 0
    mark = _mark(part)
    headers = {"User-Agent": f"tidemill/{__version__}", "Accept-Encoding": "identity"}
    if had and mark:
        headers |= {"Range": f"bytes={had}-", "If-Range": mark}
    answer = _follow(address, headers, allow_http)
    response = answer.response
    try:
        if response.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _Changed
        if response.status not in (http.client.OK, http.client.PARTIAL_CONTENT):
            said = f"{response.status} {response.reason}"
            if response.status in _PERMANENT and response.status not in _TRANSIENT:
                raise _Refused(said)
            raise OSError(said)
        resumed = response.status == http.client.PARTIAL_CONTENT
        if resumed and not (response.getheader("Content-Range") or "").startswith(f"bytes {had}-"):
            raise _Changed
        start = had if resumed else 0
        length = response.length
        total = start + length if length is not None else 0
        if total > limit:
            raise _Refused(f"it is {total:,} bytes, more than {limit:,}")
        _keep_mark(part, response)
        with part.open("ab" if resumed else "wb") as file:
            _copy(response, file, start, total, limit, progress)
    finally:
        answer.connection.close()


def _copy(
    response: http.client.HTTPResponse, file: IO[bytes], done: int, total: int, limit: int,
    progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    while content := response.read(_CHUNK):
        done += len(content)
        if done > limit:
            raise _Refused(f"it is more than {limit:,} bytes")
        file.write(content)
        progress(done, total)
    if total and done < total:
        raise OSError(f"the connection ended at {done:,} of {total:,} bytes")
    file.flush()
    os.fsync(file.fileno())


def _follow(address: str, headers: dict[str, str], allow_http: bool) -> _Answer:
    own = urlsplit(address).netloc
    for step in range(_REDIRECTS + 1):
        parts = urlsplit(address)
        connection = _connect(address, public=step > 0 and parts.netloc != own)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        if response.status not in (301, 302, 303, 307, 308):
            return _Answer(connection, response)
        connection.close()
        following = urljoin(address, response.getheader("Location") or "")
        if urlsplit(address).scheme == "https" and urlsplit(following).scheme != "https":
            raise InputError(f"{address} leads to {following}, without encryption", "give the other address itself")
        _check_address(following, allow_http)
        address = following
    raise _Refused(f"more than {_REDIRECTS} redirects")


def _connect(address: str, *, public: bool) -> http.client.HTTPConnection:
    """A connection to the host of `address`; with `public` only to one that is not of a private network."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if public:
        for *_, place in found:
            if not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_global:
                raise InputError(
                    f"a redirect to {address} is not followed: {place[0]} is in a private network",
                    "give that address itself, if you trust it",
                )
    plain = _open([(family, place) for family, _, _, _, place in found])
    if parts.scheme == "https":
        secure = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT)
        secure.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        return secure
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    connection.sock = plain
    return connection


def _open(
    places: list[tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]],
) -> socket.socket:
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


def _check_address(address: str, allow_http: bool) -> None:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise InputError(f"{address[:80]!r} is no address", "give one of the form  https://host/path") from None
    if parts.scheme == "http" and not allow_http:
        raise InputError(f"{address} is not encrypted", "use https, or say  --allow-http")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{address} is no address that can be fetched", "give one of the form  https://host/path")
    if parts.username or parts.password:
        raise InputError("the address holds a user name or password", "download it yourself, and add the file")


def _note(part: Path) -> Path:
    return part.with_suffix(".json")


def _mark(part: Path) -> str | None:
    """What the server said to tell versions of the file apart, a strong ETag or a date."""
    try:
        mark = json.loads(_note(part).read_bytes())["mark"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return mark if isinstance(mark, str) else None


def _keep_mark(part: Path, response: http.client.HTTPResponse) -> None:
    tag = response.getheader("ETag")
    mark = tag if tag and not tag.startswith("W/") else response.getheader("Last-Modified")
    write_atomic(_note(part), json.dumps({"mark": mark}).encode())
