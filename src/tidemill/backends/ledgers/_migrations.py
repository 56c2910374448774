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


STEPS: tuple[Callable[[sa.Connection], None], ...] = (m001_events, m002_events_by_model)
