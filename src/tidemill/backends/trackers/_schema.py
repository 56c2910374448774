"""MLflow's tables in a database server, made by one process at a time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa

_LOCK = 0x7469_6465  # a number of our own among PostgreSQL's advisory locks


def prepare_schema(uri: str) -> None:
    """Make MLflow's tables in an empty PostgreSQL: several first runs at once would make them together, and fail.

    Other stores MLflow itself prepares.
    """
    if not uri.startswith("postgresql"):
        return
    import sqlalchemy as sa

    engine = sa.create_engine(uri, poolclass=sa.NullPool)
    try:
        with engine.connect() as holder:
            if sa.inspect(holder).has_table("alembic_version"):
                return
            holder.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            if not sa.inspect(holder).has_table("alembic_version"):
                _migrate(engine)
    finally:
        engine.dispose()


def _migrate(engine: sa.Engine) -> None:
    from mlflow.store.db import utils

    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        utils._initialize_tables(engine)  # type: ignore[no-untyped-call]  # MLflow's own
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
