"""Tokens of a project: kept as SHA-256 with what each may ask and how often, in a file of their own.

A token is 256 random bits, so that a plain hash keeps it: nobody can try all of them, and no salt is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from tidemill.domain.record import from_plain, now, to_plain
from tidemill.errors import InputError, NotFoundError, StorageError, first_line, from_os_error, nearest
from tidemill.files import locked, write_atomic
from tidemill.serve.rates import Rate

Right = Literal["predict", "feedback", "admin"]
RIGHTS: tuple[Right, ...] = get_args(Right)
PREFIX = "tm_"  # so that a scanner of secrets knows one where it should not be
_FORMAT = 1
_NAME = 64


@dataclass(frozen=True, slots=True)
class Token:
    """One token: `digest` is the SHA-256 of its text in hexadecimal digits. Without a `rate` it may ask at will."""

    name: str
    digest: str
    scopes: tuple[Right, ...]
    rate: Rate | None
    created: datetime


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens in the file at `path`; none where there is no file. Raises StorageError for one that is broken."""
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']} is unknown")
        return tuple(from_plain(Token, each) for each in document["tokens"])
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise from_os_error(error, "reading the project's tokens") from None
    except Exception as error:  # whatever is in the file
        raise StorageError(
            f"{path} holds no tokens: {first_line(error)}", "remove it, and make tokens anew:  tidemill tokens add NAME"
        ) from None


def add_token(path: Path, name: str, scopes: Iterable[str], rate: Rate | None = None) -> tuple[str, Token]:
    """A new token's text, which is kept nowhere, and what is kept of it. Raises InputError, also for a name in use."""
    checked = check_scopes(scopes)
    if not 0 < len(name) <= _NAME or not name.isprintable() or name != name.strip():
        raise InputError(f"{name[:80]!r} is no name for a token", f"give 1 to {_NAME} characters")
    text = PREFIX + secrets.token_urlsafe(32)
    token = Token(name, digest_of(text.encode()), checked, rate, now())

    def added(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
        if any(each.name == name for each in tokens):
            raise InputError(
                f"there is a token {name!r} already", f"choose another name, or:  tidemill tokens revoke {name}"
            )
        return (*tokens, token)

    _change(path, added)
    return text, token


def revoke_token(path: Path, name: str) -> Token:
    """Take a token away, and return it. Raises NotFoundError."""
    revoked: list[Token] = []

    def without(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
        revoked.extend(each for each in tokens if each.name == name)
        if not revoked:
            raise NotFoundError(
                f"there is no token {name[:80]!r}", nearest(name, (each.name for each in tokens), kind="tokens")
            )
        return tuple(each for each in tokens if each.name != name)

    _change(path, without)
    return revoked[0]


def check_scopes(scopes: Iterable[str]) -> tuple[Right, ...]:
    """`scopes` in a fixed order. Raises InputError for an unknown one, and for none."""
    given = set(scopes)
    for scope in sorted(given - set(RIGHTS)):
        raise InputError(f"unknown scope {scope[:60]!r}", nearest(scope, RIGHTS, kind="scopes"))
    if not given:
        raise InputError("a token without a scope may nothing", f"scopes: {', '.join(RIGHTS)}")
    return tuple(right for right in RIGHTS if right in given)


def digest_of(text: bytes) -> str:
    """What is kept of a token."""
    return hashlib.sha256(text).hexdigest()


def find_token(tokens: Iterable[Token], text: bytes) -> Token | None:
    """Whose token `text` is. Takes as long for every text, whichever token it resembles."""
    digest, found = digest_of(text), None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def _change(path: Path, change: Callable[[tuple[Token, ...]], tuple[Token, ...]]) -> None:
    with locked(path.with_suffix(".lock"), what="the project's tokens"):
        tokens = change(read_tokens(path))
        document = {"format": _FORMAT, "tokens": [to_plain(each) for each in tokens]}
        try:
            write_atomic(path, json.dumps(document, indent=2).encode() + b"\n", mode=0o600)
        except OSError as error:
            raise from_os_error(error, "writing the project's tokens") from None
