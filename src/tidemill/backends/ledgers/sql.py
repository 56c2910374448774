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

from tidemill.backends.ledgers._migrations import ALIASES, EVENTS, HEAD, LOCK, is_current, migrate
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
        self._parsed: dict[int, tuple[tuple[Any, ...], Event]] = {}
        with self._transaction(write=False) as connection:
            current = is_current(connection)
        if not current:
            with self._transaction() as connection:
                migrate(connection)

    def append(
        self,
        kind: EventKind,
        model: str,
        payload: Mapping[str, Any],
        *,
        check: Callable[[Sequence[Event]], None],
        who: str | None = None,
    ) -> Event:
        """Add a line, unless `check`, which sees the model's events while nobody else can write, raises.

        `who` is by default the user of this process.
        """
        plain = to_plain(payload)
        with self._transaction() as connection:
            check(_Events(lambda: _read(connection, model)))
            last = connection.execute(sa.select(EVENTS).order_by(EVENTS.c.sequence.desc()).limit(1)).mappings().first()
            sequence = last["sequence"] + 1 if last else 1
            previous = Digest(last["digest"]) if last else GENESIS
            at = max(now(), datetime.fromisoformat(last["at"])) if last else now()  # time never runs backwards
            name = (who or user())[:200]
            digest = event_digest(sequence, at, name, kind, model, plain, previous)
            event = Event(sequence, at, name, kind, model, plain, previous, digest)
            connection.execute(EVENTS.insert().values(**_row(event)))
            connection.execute(HEAD.delete())
            connection.execute(HEAD.insert().values(one=1, sequence=sequence, digest=str(digest)))
        return event

    def events(self, model: str | None = None) -> list[Event]:
        """All lines, or those of one model, in order. Each is read, and parsed anew where it is not as it was."""
        with self._transaction(write=False) as connection:
            rows = _rows(connection, model)
        return [self._event(row) for row in rows]

    def verify(self) -> int:
        """The number of lines, each checked against its hash and the one before, and the last one against the head.

        Raises GateError where that breaks.
        """
        with self._transaction(write=False) as connection:
            events = _read(connection, None)
            head = connection.execute(sa.select(HEAD)).mappings().first()
        previous = GENESIS
        for number, event in enumerate(events, start=1):
            again = event_digest(
                event.sequence, event.at, event.who, event.kind, event.model, event.payload, event.previous
            )
            if event.sequence != number or event.previous != previous or event.digest != again:
                raise _altered(f"altered at line {number} ({event.kind} of {event.model})", number)
            previous = event.digest
        self._check_end(events, head)
        return len(events)

    def pointed(self) -> dict[str, dict[str, int | None]]:
        """What the registry's aliases were last set to from here, by model and alias."""
        found: dict[str, dict[str, int | None]] = {}
        with self._transaction(write=False) as connection:
            for row in connection.execute(sa.select(ALIASES)).mappings():
                found.setdefault(row["model"], {})[row["alias"]] = row["version"]
        return found

    def set_pointed(self, model: str, aliases: Mapping[str, int | None]) -> None:
        """Remember what the aliases of `model` were set to."""
        rows = [{"model": model, "alias": alias, "version": version} for alias, version in aliases.items()]
        with self._transaction() as connection:
            connection.execute(ALIASES.delete().where(ALIASES.c.model == model))
            connection.execute(ALIASES.insert(), rows)

    @staticmethod
    def _check_end(events: Sequence[Event], head: sa.RowMapping | None) -> None:
        """Lines after the head are no harm: a program from before there was one has written them."""
        if head is None:
            if events:
                raise _altered("altered: what its last line was is gone", len(events))
        elif head["sequence"] > len(events):
            raise _altered(f"cut off: it ends at line {len(events)}, and had {head['sequence']}", len(events) + 1)
        elif events[head["sequence"] - 1].digest != head["digest"]:
            raise _altered(f"altered at line {head['sequence']}, which is another than was written", head["sequence"])

    def _event(self, row: tuple[Any, ...]) -> Event:
        known = self._parsed.get(row[0])
        if known is None or known[0] != row:
            known = self._parsed[row[0]] = row, _event(row)
        return known[1]

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
    return [_event(row) for row in _rows(connection, model)]


def _rows(connection: sa.Connection, model: str | None) -> list[tuple[Any, ...]]:
    """Columns in the order of `EVENTS`."""
    query = sa.select(EVENTS).order_by(EVENTS.c.sequence)
    if model is not None:
        query = query.where(EVENTS.c.model == model)
    return [tuple(row) for row in connection.execute(query)]


def _row(event: Event) -> dict[str, Any]:
    plain = to_plain(event)
    return {**plain, "payload": json.dumps(plain["payload"], sort_keys=True, ensure_ascii=False, allow_nan=False)}


def _event(row: tuple[Any, ...]) -> Event:
    sequence, at, who, kind, model, payload, previous, digest = row
    try:
        return Event(
            sequence=sequence,
            at=datetime.fromisoformat(at),
            who=who,
            kind=kind,
            model=model,
            payload=json.loads(payload),
            previous=Digest(previous),
            digest=Digest(digest),
        )
    except (ValueError, TypeError):
        raise _altered(f"altered at line {sequence}, which cannot be read", sequence) from None


def user() -> str:
    """Who runs this process, for the ledger."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        return "unknown"


def _altered(how: str, line: int) -> GateError:
    intact = f"; the {line - 1} lines before it are intact" if line > 1 else ""
    return GateError(f"the ledger was {how}", f"restore the database from a backup{intact}")


def _refused(error: sa.exc.DatabaseError) -> BusyError | StorageError:
    text = str(error.orig or error).strip().split("\n", 1)[0]
    if "locked" in text or "busy" in text:
        return BusyError(
            f"the database is locked by another program for more than {BUSY_SECONDS} s", "end it, then run this again"
        )
    return StorageError(f"the database cannot be used: {text}", "check the disk, and that the database is there")


if TYPE_CHECKING:
    _ledger: type[Ledger] = SqlLedger
