"""Renders errors for HTTP: the only place that does. A client never sees a traceback or a path of this machine."""

from __future__ import annotations

import re
import time
from typing import NamedTuple

import orjson
from starlette.exceptions import HTTPException

from tidemill.errors import BusyError, InputError, NotFoundError, StorageError, TidemillError
from tidemill.serve.logs import say, say_crash

_PART = r"[^\s'\"/]+(?:(?<![,;:.]) [^\s'\"/:]+)*"  # of a path: folders have spaces in their names, too
_PATH = re.compile(rf"(?<![\w:/.])/(?:{_PART}/)+[^\s'\",;:)]*")
_PAUSE = 10.0  # seconds between two lines that say the same of other requests
_KINDS = 100  # of such lines that are remembered
_told: dict[str, tuple[float, int]] = {}
_HTTP_REMEDIES = {
    404: "see /docs for what this server answers",
    405: "see /docs for the methods of this address",
}


class ClientGone(Exception):
    """The client closed the connection before its request was complete. Nobody is there to be answered."""


class Failure(NamedTuple):
    """An error as HTTP says it. `retry_after` is in seconds."""

    status: int
    message: str
    remedy: str
    retry_after: int | None = None

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What HTTP wants beside the body: when to come again, and how to say who one is."""
        if self.retry_after:
            return ((b"retry-after", b"%d" % self.retry_after),)
        return ((b"www-authenticate", b"Bearer"),) if self.status == 401 else ()


def refusal(status: int, headline: str, remedy: str) -> InputError:
    """An InputError with an HTTP status of its own."""
    error = InputError(headline, remedy)
    error.http_status = status
    return error


def too_many(headline: str, remedy: str, retry_after: int) -> BusyError:
    """A BusyError for one who asks too often: others are answered."""
    error = BusyError(headline, remedy)
    error.http_status, error.retry_after = 429, retry_after
    return error


def to_failure(error: BaseException, request_id: str) -> Failure:
    """`error` as the client may see it. What nobody foresaw is printed on standard error, with the request's id."""
    if isinstance(error, InputError):
        return Failure(error.http_status, without_paths(error.headline), without_paths(error.remedy))
    if isinstance(error, BusyError):
        return Failure(error.http_status, without_paths(error.headline), error.remedy, error.retry_after)
    if isinstance(error, StorageError):
        _report(f"{error.headline}; {error.remedy}", request_id)
        return Failure(error.http_status, without_paths(error.headline), "the server's operator must act", 5)
    if isinstance(error, TidemillError):
        _report(f"{error.headline}; {error.remedy}", request_id)
        return Failure(error.http_status, without_paths(error.headline), without_paths(error.remedy))
    if isinstance(error, HTTPException):
        remedy = _HTTP_REMEDIES.get(error.status_code, "see /docs")
        return Failure(error.status_code, error.detail.lower(), remedy)
    say_crash(f"request {request_id}", error, **{"http.request.id": request_id})
    return Failure(500, "the server failed on this request", f"tell its operator the request id {request_id}")


def render(failure: Failure, path: str) -> bytes:
    """The body: the Open Inference Protocol wants one string, the other addresses give message and remedy."""
    if path.startswith("/v2"):
        text = failure.message + (f" ({failure.remedy})" if failure.remedy else "")
        return orjson.dumps({"error": text})
    return orjson.dumps({"error": {"message": failure.message, "remedy": failure.remedy}})


def unknown_model(asked: str, served: str) -> NotFoundError:
    """This server has one model; the answer names it."""
    return NotFoundError(f"no model {asked[:80]!r} is served here", f"this server answers for {served}")


def without_paths(text: str) -> str:
    """`text` as a client may see it: places on this machine are nobody else's business."""
    return _PATH.sub("…", text)


def _report(text: str, request_id: str) -> None:
    """Say it for the first request that it befalls, and then every ten seconds with how many: on a full disk, all."""
    if len(_told) > _KINDS:
        _told.clear()
    now = time.monotonic()
    since, unsaid = _told.get(text, (now - _PAUSE, 0))
    if now - since < _PAUSE:
        _told[text] = since, unsaid + 1
        return
    _told[text] = now, 0
    more = f" (and {unsaid:,} more before it)" if unsaid else ""
    say(f"request {request_id}: {text}{more}", level="error", **{"http.request.id": request_id})
