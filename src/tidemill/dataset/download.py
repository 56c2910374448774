"""Fetching a file by its address: resumed, retried, bounded, and by one process at a time."""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from tidemill import __version__
from tidemill.dataset.following import Refused, check_address, follow
from tidemill.domain.digest import Digest
from tidemill.errors import DataError, StorageError
from tidemill.files import fsync_directory, locked, write_atomic

_TRIES, _CHUNK = 6, 1 << 20
_PERMANENT = range(400, 500)
_TRANSIENT = frozenset({408, 425, 429})
MAX_BYTES = 50_000_000_000


class _Changed(Exception):
    """What is there is not what the first part came from."""


def file_name(address: str) -> str:
    """The last part of an address's path, as a plain file name."""
    name = unquote(urlsplit(address).path).rsplit("/", 1)[-1]
    name = "".join(each for each in name if each.isalnum() or each in "._- ").lstrip(". ")
    return name[-100:] or "data"


def download(
    address: str, folder: Path, *, pinned: Digest | None, allow_http: bool, progress: Callable[[int, int], None],
    limit: int = MAX_BYTES, note: Callable[[str], None] = lambda _: None,
) -> tuple[Path, Digest]:  # fmt: skip
    """The file at `address`, in `folder` under its own name, with its digest; what is there whole is kept.

    A file that is pinned and there is not asked for again. Two processes that want one address take turns, however long
    that lasts; `note` is told. Raises InputError for an address that is not followed, DataError for other bytes than
    `pinned`, StorageError when it cannot be had.
    """
    check_address(address, allow_http)
    final = folder / file_name(address)

    def waiting() -> None:
        note(f"another command is fetching {address}: waiting for it")

    with locked(folder / ".lock", timeout=math.inf, what=address, waiting=waiting):
        return final, _download(address, final, pinned, allow_http, progress, limit)


def _download(
    address: str, final: Path, pinned: Digest | None, allow_http: bool, progress: Callable[[int, int], None],
    limit: int,
) -> Digest:  # fmt: skip
    if pinned is not None and final.is_file() and Digest.of_file(final) == pinned:
        return pinned
    part = final.parent / f".{final.name}.part"
    for attempt in range(1, _TRIES + 1):
        try:
            _fetch(address, part, allow_http, pinned is not None, progress, limit)
            break
        except Refused as error:
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
    fsync_directory(final.parent)
    return digest


def _fetch(
    address: str, part: Path, allow_http: bool, pinned: bool, progress: Callable[[int, int], None], limit: int
) -> None:
    """Bring `part` to its end. What a connection lost earlier has brought stays, if the server still has the same."""
    had = part.stat().st_size if part.is_file() else 0
    mark = _mark(part)
    headers = {"User-Agent": f"tidemill/{__version__}", "Accept-Encoding": "identity"}
    if had and mark:
        headers |= {"Range": f"bytes={had}-", "If-Range": mark}
    answer = follow(address, headers, allow_http)
    response = answer.response
    try:
        if response.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _Changed
        if response.status not in (http.client.OK, http.client.PARTIAL_CONTENT):
            said = f"{response.status} {response.reason}"
            if response.status in _PERMANENT and response.status not in _TRANSIENT:
                raise Refused(said)
            raise OSError(said)
        resumed = response.status == http.client.PARTIAL_CONTENT
        start = had if resumed else 0
        total = _rest(response, had) if resumed else response.length or 0
        if total > limit:
            raise Refused(f"it is {total:,} bytes, more than {limit:,}")
        if not (resumed or pinned or response.chunked) and response.length is None:
            raise Refused("the server does not say how long it is; pin its bytes with  --digest, or save it yourself")
        if not resumed:  # before the new mark is kept: a kill in between must not join the old head to the new tail
            part.unlink(missing_ok=True)
        _keep_mark(part, response)
        with part.open("ab" if resumed else "wb") as file:
            _copy(response, file, start, total, limit, progress)
    finally:
        answer.connection.close()


def _rest(response: http.client.HTTPResponse, had: int) -> int:
    """The whole file's bytes, where the answer is all that follows the first `had` of them. Raises _Changed."""
    told = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", (response.getheader("Content-Range") or "").strip())
    first, last, total = (int(each) for each in told.groups()) if told else (-1, -1, -1)
    if first != had or last + 1 != total or response.length not in (None, total - had):
        raise _Changed
    return total


def _copy(
    response: http.client.HTTPResponse, file: IO[bytes], done: int, total: int, limit: int,
    progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    while content := response.read(_CHUNK):
        done += len(content)
        if done > limit:
            raise Refused(f"it is more than {limit:,} bytes")
        file.write(content)
        progress(done, total)
    if total and done < total:
        raise OSError(f"the connection ended at {done:,} of {total:,} bytes")
    if total and done > total:
        raise _Changed
    file.flush()
    os.fsync(file.fileno())


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
