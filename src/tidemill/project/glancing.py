"""A light look at the aliases in MLflow's registry, for who cannot spend the memory of MLflow or SQLAlchemy on it.

SQLite and PostgreSQL are asked for one table, a tracking server for the name that it knows by its REST API. For other
databases there is no light look.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from tidemill.project.database import foreign_uri
from tidemill.project.layout import Layout
from tidemill.project.registry import ALIASES

if TYPE_CHECKING:
    import psycopg

Aliases = Mapping[str, Mapping[str, int]]
"""By model and alias, the version."""

_QUERY = "SELECT name, alias, version FROM registered_model_aliases"
_SECONDS = 10
_GRAIN = 2_000_000_000  # nanoseconds, more than any file system's clock is coarse


class Glance(Protocol):
    """Whatever `look` raises means that nothing could be seen. `patience`: how much rarer than others it is asked."""

    patience: float

    def look(self, names: Sequence[str]) -> Aliases: ...

    def close(self) -> None: ...


def glance_of(layout: Layout) -> Glance | None:
    """What looks at the project's registry; None where that needs much memory, or what follows is not installed."""
    if find_spec("sqlalchemy") is None or find_spec("mlflow") is None:
        return None
    uri = foreign_uri()
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if not uri:
        return SqliteGlance(layout.database)
    if scheme == "sqlite":
        return SqliteGlance(Path(uri.partition(":///")[2].partition("?")[0]))
    if scheme in ("postgres", "postgresql") and find_spec("psycopg") is not None:
        return PostgresGlance(uri)
    if scheme not in ("http", "https"):
        return None
    from tidemill.project.glancing_http import HttpGlance

    return HttpGlance(uri)


def _by_name(rows: Sequence[tuple[Any, ...]], names: Sequence[str]) -> Aliases:
    found: dict[str, dict[str, int]] = {name: {} for name in names}
    for name, alias, version in rows:
        if name in found and alias in ALIASES:
            found[name][alias] = int(version)
    return found


class SqliteGlance:
    """Holds no connection, for a database that is restored is another file. An unchanged file is not opened."""

    patience = 1.0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: object = None
        self._rows: list[tuple[Any, ...]] = []

    def look(self, names: Sequence[str]) -> Aliases:
        began, stamp = time.time_ns(), [self._of(suffix) for suffix in ("", "-wal", "-journal")]
        if stamp != self._stamp:
            place = f"file:{quote(str(self._path.absolute()))}?mode=ro"
            with closing(sqlite3.connect(place, uri=True, timeout=1.0)) as connection:
                self._rows = connection.execute(_QUERY).fetchall()
            # A file that has just been written may be written again without a later time: it is opened once more.
            newest = max(each[1] for each in stamp if each is not None)
            self._stamp = stamp if began - newest > _GRAIN else None
        return _by_name(self._rows, names)

    def _of(self, suffix: str) -> tuple[int, int, int] | None:
        try:
            status = os.stat(f"{self._path}{suffix}")
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def close(self) -> None:
        """Nothing is held."""


class PostgresGlance:
    """One connection that is kept, and made anew when it broke."""

    patience = 2.0

    def __init__(self, uri: str) -> None:
        scheme, _, rest = uri.partition("://")
        self._address = f"{scheme.partition('+')[0]}://{rest}"
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def look(self, names: Sequence[str]) -> Aliases:
        import psycopg

        if self._connection is None:
            self._connection = psycopg.connect(
                self._address, autocommit=True, connect_timeout=_SECONDS, tcp_user_timeout=1000 * _SECONDS
            )
            self._connection.execute(f"SET statement_timeout = {1000 * _SECONDS}")  # of a table that is locked
        try:
            return _by_name(self._connection.execute(_QUERY).fetchall(), names)
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
