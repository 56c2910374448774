"""The project's database: MLflow's tables and the ledger's, in one SQLite file that is made once."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tidemill.errors import InputError, MissingExtraError, StorageError
from tidemill.files import fsync_directory, locked, sweep_staging

if TYPE_CHECKING:
    from tidemill.project.layout import Layout

BUSY_SECONDS = 60
_REACH_SECONDS = 5.0
_SCHEMES = ("sqlite", "postgresql", "postgres", "mysql", "mssql", "databricks", "databricks-uc", "uc")
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}


def ensure_database(layout: Layout) -> str:
    """The tracking URI: MLFLOW_TRACKING_URI where the user has set it, else the project's SQLite file, made if missing.

    MLflow migrates its schema in place when it meets an empty database; eight first runs at once would ruin it.
    Here one process at a time migrates a file beside, and only the finished one is renamed to its place. Raises
    StorageError when the server of a foreign one cannot be reached.
    """
    foreign = foreign_uri()
    if foreign:
        _reach(foreign)
        _prepare(foreign)
        return foreign
    if not layout.database.is_file():
        with locked(layout.locks / "database", timeout=120, what="the project's database"):
            if not layout.database.is_file():
                _create(layout)
    _move_in(layout)
    return _uri(layout.database)


def store_uri(layout: Layout) -> str:
    """As `ensure_database`, for who can wait for a foreign one: whether anybody listens there is not asked."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # who waits repeats by itself; 7 take minutes
    return foreign_uri() or ensure_database(layout)


def foreign_uri() -> str:
    """MLFLOW_TRACKING_URI, with the driver of PostgreSQL that is installed; empty where it is not set.

    Whether anybody listens there is not asked. Raises InputError for what is no database and no server.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    scheme = urlsplit(uri).scheme
    if uri and scheme.partition("+")[0] not in (*_SCHEMES, "http", "https"):
        raise InputError(
            f"MLFLOW_TRACKING_URI={uri[:80]!r} is no database and no server",
            "give sqlite:///PATH, postgresql://…, mysql://… or http(s)://…, or unset it",
        )
    if scheme in ("postgres", "postgresql") and find_spec("psycopg2") is None:
        if find_spec("psycopg") is None:
            raise MissingExtraError(f"MLFLOW_TRACKING_URI={scheme}://…", "postgres")
        return f"postgresql+psycopg{uri.removeprefix(scheme)}"
    return uri


def tracking_address() -> str:
    """MLFLOW_TRACKING_URI as it may be written down: *** for its password, no options; empty where it is not set."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").partition("?")[0].rstrip("/")
    place = urlsplit(uri).netloc
    user, has_user, host = place.rpartition("@")
    name, has_password, _ = user.partition(":")
    return uri.replace(place, f"{name}:***{has_user}{host}", 1) if has_password else uri


def is_local(uri: str) -> bool:
    """Whether the store is a file here, which is not away."""
    return uri.startswith("sqlite")


@cache
def _reach(uri: str) -> None:
    """MLflow would try an absent server for minutes before it says so."""
    parts = urlsplit(uri)
    try:
        port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
        if parts.hostname and port:
            socket.create_connection((parts.hostname, port), timeout=_REACH_SECONDS).close()
    except (OSError, ValueError) as error:
        raise StorageError(
            f"the tracking server {parts.hostname}:{parts.port or ''} cannot be reached: {error}",
            "start it, or unset MLFLOW_TRACKING_URI to work with the project's own database",
        ) from None


@cache
def _prepare(uri: str) -> None:
    """MLflow's tables in an empty PostgreSQL, made by one process at a time."""
    if not uri.startswith("postgresql"):
        return
    import sqlalchemy as sa

    from tidemill.backends.trackers._schema import prepare_schema

    try:
        prepare_schema(uri)
    except sa.exc.SQLAlchemyError as error:
        first = str(error).strip().splitlines()[0]
        raise StorageError(f"the database of MLFLOW_TRACKING_URI cannot be used: {first}", "check it") from error


def _uri(path: Path) -> str:
    return f"sqlite:///{path}?timeout={BUSY_SECONDS}"


def _create(layout: Layout) -> None:
    sweep_staging(layout.staging)
    layout.staging.mkdir(parents=True, exist_ok=True)
    beside = layout.staging / f"{os.getpid()}-{uuid.uuid4().hex}.db"
    try:
        _migrate(beside)
        with closing(sqlite3.connect(beside)) as connection:
            # MLflow's "Default" experiment would keep its artefacts under whatever folder the first command ran in.
            connection.execute("UPDATE experiments SET artifact_location = ?", (str(layout.artifacts / "default"),))
            connection.commit()
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA journal_mode=WAL")  # kept in the file: readers and a writer at once
        handle = os.open(beside, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(beside, layout.database)
        fsync_directory(layout.database.parent)
    finally:
        beside.unlink(missing_ok=True)


def _move_in(layout: Layout) -> None:
    """Lead MLflow's absolute artefact paths here, where the project was moved or copied since they were written.

    Without it the runs of a copy would write into the original.
    """
    try:
        _lead_here(layout)
    except sqlite3.OperationalError:  # locked, or a disk that is full: said for what it is elsewhere
        raise
    except sqlite3.DatabaseError as error:
        raise StorageError(f"{layout.database} cannot be read: {error}", "restore it from a backup") from error


def _lead_here(layout: Layout) -> None:
    here, mark = str(layout.artifacts), f"/{layout.artifacts.relative_to(layout.root)}"
    with closing(sqlite3.connect(layout.database, timeout=BUSY_SECONDS)) as connection, connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            asked = f"SELECT DISTINCT {column} FROM {table} WHERE {column} LIKE ? AND substr({column}, 1, ?) != ?"  # noqa: S608 - names from the line above
            for (stale,) in connection.execute(asked, (f"%{mark}%", len(here), here)).fetchall():
                moved = here + stale[stale.index(mark) + len(mark) :]
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (moved, stale))  # noqa: S608 - as above


def _migrate(path: Path) -> None:
    """MLflow's own schema at `path`, without a fsync for each migration: the file is made durable at the end."""
    import sqlalchemy as sa
    from mlflow.store.db import utils

    engine = sa.create_engine(f"sqlite:///{path}")

    @sa.event.listens_for(engine, "connect")
    def _fast(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")

    try:
        with _silent("mlflow", "alembic"):
            migrate, verify = utils._initialize_tables, utils._verify_schema
            migrate(engine)  # type: ignore[no-untyped-call]  # MLflow's own
            verify(engine)  # type: ignore[no-untyped-call]  # MLflow's own
    except sa.exc.SQLAlchemyError as error:
        raise StorageError(
            f"the project's database cannot be made: {str(error).splitlines()[0]}", "check the disk and the folder"
        ) from error
    finally:
        engine.dispose()


@contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Without the info lines of these loggers, a hundred for one migration."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
