"""The tokens of a project, and who may ask a server of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.serve.limits import Access
    from tidemill.serve.tokens import Token

TOKEN_VARIABLE = "TIDEMILL_TOKEN"  # noqa: S105 - the name of a variable


def tokens_file(layout: Layout) -> Path:
    """Where they are kept, as hashes."""
    return layout.state / "tokens.json"


def add(layout: Layout, name: str, scopes: Iterable[str], rate: str | None = None) -> tuple[str, Token]:
    """A new token's text, which is kept nowhere, and what is kept of it. Raises InputError."""
    from tidemill.serve.rates import parse_rate
    from tidemill.serve.tokens import add_token

    return add_token(tokens_file(layout), name, scopes, parse_rate(rate) if rate else None)


def known(layout: Layout) -> tuple[Token, ...]:
    """All of them, oldest first. Raises StorageError."""
    from tidemill.serve.tokens import read_tokens

    return read_tokens(tokens_file(layout))


def revoke(layout: Layout, name: str) -> Token:
    """Take one away; running servers refuse it within two seconds. Raises NotFoundError."""
    from tidemill.serve.tokens import revoke_token

    return revoke_token(tokens_file(layout), name)


def access(layout: Layout | None, host: str, token: str | None, shared: Path | None = None) -> Access:
    """Who may ask a server that listens on `host`: on loopback everybody, unless there is a `token` for everything.

    `shared` is the folder where the workers of one server count together. Raises ConfigError where the server is
    reached from other machines and no token is known.
    """
    from tidemill.serve.keys import Keys
    from tidemill.serve.limits import Access, check_token, is_loopback

    local = is_loopback(host)
    keys = None
    if layout is not None and not (local and token is None):
        known(layout)  # a broken file is an error now, and only said later
        keys = Keys(tokens_file(layout), shared)
    if not local and token is None and not keys and shared is None:  # a worker may replace one when all are revoked
        raise ConfigError(
            f"{host} is reached from other machines, so a token is needed",
            f"make one:  tidemill tokens add NAME, or give --token-file FILE, or set {TOKEN_VARIABLE}",
        )
    return Access(local, None if token is None else check_token(token), keys)
