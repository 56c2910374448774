"""The ledger's tables, as forward-only named steps in the order in which they were added. A step is never changed."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from tidemill.domain.record import now

LOCK = 7_432_645_541
"""PostgreSQL's advisory lock for whoever appends or migrates."""

_tables = sa.MetaData()

MIGRATIONS = sa.Table(
    "tidemill_migrations",
    _tables,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("at", sa.String(40), nullable=False),
)

EVENTS = sa.Table(
    "tidemill_events",
    _tables,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("who", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("model", sa.String(63), nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("previous", sa.String(71), nullable=False),
    sa.Column("digest", sa.String(71), nullable=False, unique=True),
)

HEAD = sa.Table(
    "tidemill_head",
    _tables,
    sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(71), nullable=False),
)

ALIASES = sa.Table(
    "tidemill_aliases",
    _tables,
    sa.Column("model", sa.String(63), primary_key=True),
    sa.Column("alias", sa.String(63), primary_key=True),
    sa.Column("version", sa.Integer, nullable=True),
)


def is_current(connection: sa.Connection) -> bool:
    """Whether every step was taken."""
    if not sa.inspect(connection).has_table(MIGRATIONS.name):
        return False
    return {step.__name__ for step in STEPS} <= set(connection.scalars(sa.select(MIGRATIONS.c.name)))


def migrate(connection: sa.Connection) -> None:
    """Bring the tables up to date, within the caller's transaction."""
    MIGRATIONS.create(connection, checkfirst=True)
    done = set(connection.scalars(sa.select(MIGRATIONS.c.name)))
    for step in STEPS:
        if step.__name__ not in done:
            step(connection)
            connection.execute(MIGRATIONS.insert().values(name=step.__name__, at=now().isoformat()))


def m001_events(connection: sa.Connection) -> None:
    """The list of events."""
    connection.execute(
        sa.text(
            "CREATE TABLE tidemill_events (sequence INTEGER PRIMARY KEY, at VARCHAR(40) NOT NULL, "
            "who VARCHAR(200) NOT NULL, kind VARCHAR(20) NOT NULL, model VARCHAR(63) NOT NULL, payload TEXT NOT NULL, "
            "previous VARCHAR(71) NOT NULL, digest VARCHAR(71) NOT NULL UNIQUE)"
        )
    )


def m002_events_by_model(connection: sa.Connection) -> None:
    """What is asked for most is one model's events."""
    connection.execute(sa.text("CREATE INDEX tidemill_events_model ON tidemill_events (model, sequence)"))


def m003_head(connection: sa.Connection) -> None:
    """The last line again, by itself: a list that lost its end is as good a chain as a whole one."""
    connection.execute(
        sa.text(
            "CREATE TABLE tidemill_head (one INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, "
            "digest VARCHAR(71) NOT NULL)"
        )
    )
    connection.execute(
        sa.text(
            "INSERT INTO tidemill_head (one, sequence, digest) "
            "SELECT 1, sequence, digest FROM tidemill_events ORDER BY sequence DESC LIMIT 1"
        )
    )


def m004_aliases(connection: sa.Connection) -> None:
    """What the registry's aliases were last set to: what they are besides, somebody else has set."""
    connection.execute(
        sa.text(
            "CREATE TABLE tidemill_aliases (model VARCHAR(63) NOT NULL, alias VARCHAR(63) NOT NULL, "
            "version INTEGER, PRIMARY KEY (model, alias))"
        )
    )


STEPS: tuple[Callable[[sa.Connection], None], ...] = (m001_events, m002_events_by_model, m003_head, m004_aliases)
