"""The tokens of a project as a running server knows them."""

from __future__ import annotations

import time
from pathlib import Path

from tidemill.errors import StorageError
from tidemill.serve.failure import refusal, too_many
from tidemill.serve.logs import say
from tidemill.serve.rates import Meter, shared_cell
from tidemill.serve.tokens import Right, Token, find_token, read_tokens

_LOOK = 1.0  # seconds between two looks at the file


class Keys:
    """The tokens in a project's file, which may change while a server runs: it is looked at once a second.

    What cannot be read changes nothing, and is said. `shared` is a folder for what the workers of one server count
    together.
    """

    def __init__(self, path: Path, shared: Path | None = None) -> None:
        self._path, self._shared = path, shared
        self._seen: object = None
        self._due = 0.0
        self._tokens: tuple[Token, ...] = ()
        self._meters: dict[str, Meter] = {}  # by digest
        self._known: dict[bytes, tuple[Token, Meter | None]] = {}  # by header; right ones only, so that it stays small
        self._look(time.monotonic())

    def __len__(self) -> int:
        return len(self._tokens)

    def check(self, given: bytes, right: Right, counted: bool = True) -> str | None:
        """The name of the token in the header `given`; None for none that is known. Raises as `Access.check`.

        What is not `counted` may be asked as often as one likes.
        """
        now = time.monotonic()
        if now >= self._due:
            self._look(now)
        found = self._known.get(given) or self._find(given)
        if found is None:
            return None
        token, meter = found
        if right not in token.scopes:
            raise refusal(403, f"the token {token.name!r} is not good for {right}", "use one with this scope")
        if counted and meter is not None and (wait := meter.take(now)):
            raise too_many(f"the token {token.name!r} may ask {token.rate}", f"try again in {wait} s", wait)
        return token.name

    def knows(self, given: bytes, right: Right) -> bool:
        """Whether `check` would find the token in this header, and good for `right`. It counts nothing."""
        now = time.monotonic()
        if now >= self._due:
            self._look(now)
        found = self._known.get(given) or self._find(given)
        return found is not None and right in found[0].scopes

    def _find(self, given: bytes) -> tuple[Token, Meter | None] | None:
        token = find_token(self._tokens, given[7:]) if given.startswith(b"Bearer ") else None
        if token is None:
            return None
        self._known[given] = found = (token, self._meter(token))
        return found

    def _meter(self, token: Token) -> Meter | None:
        if token.rate is None:
            return None
        if token.digest not in self._meters:
            self._meters[token.digest] = Meter(token.rate, self._cell(token))
        return self._meters[token.digest]

    def _cell(self, token: Token) -> memoryview[float] | None:
        if self._shared is None:
            return None
        try:
            return shared_cell(self._shared, token.digest[:32])
        except OSError as error:
            say(f"tokens: {token.name} is counted by each worker alone: {error.strerror}", level="warn")
            return None

    def _look(self, now: float) -> None:
        self._due = now + _LOOK
        try:
            status = self._path.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            seen = None
        if seen == self._seen:
            return
        try:
            tokens = read_tokens(self._path)
        except StorageError as error:
            say(f"tokens: {error.headline}; those known before stay", level="error")
        else:
            self._tokens = tokens
            self._known.clear()
        self._seen = seen
