"""What the server says on standard error: plain lines, or JSON with the field names of the Elastic Common Schema.

https://www.elastic.co/docs/reference/ecs. In JSON every line is a document, those of libraries and of the interpreter
too: a stream that a collector reads holds nothing else.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

Format = Literal["text", "json"]
Level = Literal["info", "warn", "error"]
ECS = "8.11.0"
# In a request's scope: whose token it bore, what was answered, and the trace of its span.
USER, ANSWER, TRACE = "tidemill.user", "tidemill.answer", "tidemill.trace"
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_TROUBLE = re.compile(r"error|Traceback")  # how what is only printed begins


def use(wanted: Format) -> None:
    """Have this process say everything in this form from now on."""
    if wanted == "json" and not isinstance(sys.stderr, EcsStream):
        sys.stderr = EcsStream(sys.stderr)
        logging.getLogger().addHandler(_HANDLER)
        logging.captureWarnings(True)
        sys.excepthook, threading.excepthook = _say_crash, _say_crash_of_thread
    elif wanted == "text" and isinstance(sys.stderr, EcsStream):
        sys.excepthook, threading.excepthook = sys.stderr.hooks
        sys.stderr = sys.stderr.stream
        logging.getLogger().removeHandler(_HANDLER)
        logging.captureWarnings(False)


def form() -> Format:
    """The form in use."""
    return "json" if isinstance(sys.stderr, EcsStream) else "text"


def say(message: str, *, level: Level = "info", **fields: Any) -> None:
    """One message of the server's own; `fields` are told in JSON only."""
    stream = sys.stderr
    with _spoken_to_nobody():
        if isinstance(stream, EcsStream):
            stream.document(message, level, fields)
        else:
            print(message, file=stream, flush=True)


def say_crash(message: str, error: BaseException, **fields: Any) -> None:
    """What nobody foresaw, with its traceback; as text the traceback is the message's end."""
    trace = "".join(traceback.format_exception(error)).rstrip()
    if not isinstance(sys.stderr, EcsStream):
        message = f"{message}: {trace}"
    say(message, level="error", **fields, **_error_fields(error, trace))


def say_request(scope: Mapping[str, Any], request_id: str, status: int, seconds: float) -> None:
    """One request. A status of 0 says that the client went away before its answer."""
    client = (scope.get("client") or ("", 0))[0]
    stream = sys.stderr
    if not isinstance(stream, EcsStream):
        line = {
            "at": datetime.now(UTC).isoformat(), "request": request_id, "client": client, "method": scope["method"],
            "path": scope["path"], "status": status, "ms": round(seconds * 1000, 3),
        }  # fmt: skip
        with _spoken_to_nobody():
            stream.write(f"{json.dumps(line)}\n")
            stream.flush()
        return
    fields: dict[str, Any] = {
        "event.dataset": "tidemill.access",
        "event.duration": int(seconds * 1e9),
        "event.outcome": "success" if 0 < status < 400 else "failure",
        "http.request.id": request_id,
        "http.request.method": scope["method"],
        "http.response.status_code": status,
        "url.path": scope["path"],
        "client.ip": client,
    }
    if user := scope.get(USER):
        fields["user.name"] = user
    if trace := trace_of(scope):
        fields["trace.id"] = trace
    level: Level = "error" if status >= 500 else "info"
    with _spoken_to_nobody():
        stream.document(f"{scope['method']} {scope['path']} {status}", level, fields)


def _spoken_to_nobody() -> AbstractContextManager[None]:
    """Where standard error is a full disk, or a pipe that nobody reads any more, the server goes on without a word."""
    return suppress(OSError, ValueError)


def trace_of(scope: Mapping[str, Any]) -> str | None:
    """The id of the trace that a request belongs to: its own span's, or that of the W3C traceparent it came with."""
    if own := scope.get(TRACE):
        return str(own)
    for name, value in scope["headers"]:
        if name == b"traceparent":
            found = _TRACEPARENT.fullmatch(value)
            return found[1].decode() if found else None
    return None


class EcsStream(io.TextIOBase):
    """A text stream of which every line becomes a document; whole lines only, so that threads do not mix."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.hooks = sys.excepthook, threading.excepthook  # those of before
        self._begun = threading.local()

    def write(self, text: str) -> int:
        """Text of whoever prints."""
        begun = getattr(self._begun, "text", "") + text
        self._begun.text = "" if begun.endswith("\n") else begun
        if not self._begun.text and begun.strip():
            self.document(begun.rstrip(), "error" if _TROUBLE.match(begun) else "info", {})
        return len(text)

    def flush(self) -> None:
        """Documents are flushed as they are written."""

    def fileno(self) -> int:
        """The stream's own."""
        return self.stream.fileno()

    def isatty(self) -> bool:
        """Nobody looks at JSON as at a terminal."""
        return False

    def document(self, message: str, level: Level, fields: Mapping[str, Any]) -> None:
        """Write one."""
        at = time.time_ns()
        document = {
            "@timestamp": f"{datetime.fromtimestamp(at // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{at % 10**9 // 1000:06d}Z",
            "log.level": level,
            "message": message,
            "ecs.version": ECS,
            "service.name": "tidemill",
            "process.pid": os.getpid(),
            "event.dataset": "tidemill.server",
            **fields,
        }
        self.stream.write(json.dumps(document) + "\n")
        self.stream.flush()


class _Handler(logging.Handler):
    """What libraries log, and warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        """One document for one record."""
        level: Level = "error" if record.levelno >= logging.ERROR else "warn" if record.levelno > 20 else "info"
        fields: dict[str, Any] = {"log.logger": record.name}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields |= _error_fields(error, "".join(traceback.format_exception(error)).rstrip())
        try:
            say(record.getMessage().rstrip(), level=level, **fields)
        except Exception:
            self.handleError(record)


_HANDLER = _Handler(logging.WARNING)


def _error_fields(error: BaseException, trace: str) -> dict[str, Any]:
    return {"error.type": type(error).__name__, "error.message": str(error), "error.stack_trace": trace}


def _say_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    say_crash(f"unexpected: {kind.__name__}", error)


def _say_crash_of_thread(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is not None and given.exc_type is not SystemExit:
        say_crash(f"a thread ended: {given.exc_type.__name__}", given.exc_value)
