"""The ledger in a SQL database, through SQLAlchemy: beside MLflow's tables, in SQLite or PostgreSQL.

Only lines are added. Each holds the hash of the one before, so that a line that was changed or taken out shows.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import sqlalchemy as sa

from tidemill.backends.ledgers._migrations import EVENTS, LOCK, is_current, migrate
from tidemill.domain.digest import Digest
from tidemill.domain.record import now, to_plain
from tidemill.domain.registry import GENESIS, Event, EventKind, event_digest
from tidemill.errors import BusyError, GateError, StorageError

if TYPE_CHECKING:
    from tidemill.ports import Ledger

BUSY_SECONDS = 60


class _Events(Sequence[Event]):
    """Events that are read when they are looked at: most lines are added without a look at the others."""

    def __init__(self, read: Callable[[], list[Event]]) -> None:
        self._read = read

    @cached_property
    def _all(self) -> list[Event]:
        return self._read()

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        return self._all[index]


class SqlLedger:
    """`uri` is a SQLAlchemy database URL. Any number of processes may append at once: one order, nothing lost."""

    def __init__(self, uri: str) -> None:
        self._engine = _engine(uri)
        with self._transaction(write=False) as connection:
            current = is_current(connection)
        if not current:
            with self._transaction() as connection:
                migrate(connection)

    def append(
        self, kind: EventKind, model: str, payload: Mapping[str, Any], *, check: Callable[[Sequence[Event]], None]
    ) -> Event:
        """Add a line, unless `check`, which sees the model's events while nobody else can write, raises."""
        plain = to_plain(payload)
        with self._transaction() as connection:
            check(_Events(lambda: _read(connection, model)))
            last = connection.execute(sa.select(EVENTS).order_by(EVENTS.c.sequence.desc()).limit(1)).mappings().first()
            sequence = last["sequence"] + 1 if last else 1
            previous = Digest(last["digest"]) if last else GENESIS
            at = max(now(), datetime.fromisoformat(last["at"])) if last else now()  # time never runs backwards
            who = _who()
            digest = event_digest(sequence, at, who, kind, model, plain, previous)
            event = Event(sequence, at, who, kind, model, plain, previous, digest)
            connection.execute(EVENTS.insert().values(**_row(event)))
        return event

    def events(self, model: str | None = None) -> list[Event]:
        """All lines, or those of one model, in order."""
        with self._transaction(write=False) as connection:
            return _read(connection, model)

    def verify(self) -> int:
        """The number of lines, each checked against its hash and the one before. Raises GateError where that breaks."""
        previous, number = GENESIS, 0
        for number, event in enumerate(self.events(), start=1):
            again = event_digest(
                event.sequence, event.at, event.who, event.kind, event.model, event.payload, event.previous
            )
            if event.sequence != number or event.previous != previous or event.digest != again:
                raise GateError(
                    f"the ledger was altered at line {number} ({event.kind} of {event.model})",
                    "restore the database from a backup; lines before it are intact",
                )
            previous = event.digest
        return number

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, *, write: bool = True) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
                elif write:
                    connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({LOCK})"))
                yield connection
                connection.commit()
        except sa.exc.DatabaseError as error:
            raise _refused(error) from error


def _engine(uri: str) -> sa.Engine:
    url = sa.make_url(uri)
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(
        url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, poolclass=sa.NullPool
    )

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver would begin transactions of its own, and not immediate ones
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


def _read(connection: sa.Connection, model: str | None) -> list[Event]:
    query = sa.select(EVENTS).order_by(EVENTS.c.sequence)
    if model is not None:
        query = query.where(EVENTS.c.model == model)
    return [_event(row._mapping) for row in connection.execute(query)]


def _row(event: Event) -> dict[str, Any]:
    plain = to_plain(event)
    return {**plain, "payload": json.dumps(plain["payload"], sort_keys=True, ensure_ascii=False, allow_nan=False)}


def _event(row: sa.RowMapping) -> Event:
    return Event(
        sequence=row["sequence"],
        at=datetime.fromisoformat(row["at"]),
        who=row["who"],
        kind=row["kind"],
        model=row["model"],
        payload=json.loads(row["payload"]),
        previous=Digest(row["previous"]),
        digest=Digest(row["digest"]),
    )


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        return "unknown"


def _refused(error: sa.exc.DatabaseError) -> BusyError | StorageError:
    text = str(error.orig or error).strip().split("\n", 1)[0]
    if "locked" in text or "busy" in text:
        return BusyError(
            f"the database is locked by another program for more than {BUSY_SECONDS} s", "end it, then run this again"
        )
    return StorageError(f"the database cannot be used: {text}", "check the disk, and that the database is there")


if TYPE_CHECKING:
    _ledger: type[Ledger] = SqlLedger
