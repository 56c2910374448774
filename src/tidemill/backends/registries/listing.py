"""What MLflow's registry says, read from its tables: a light command need not wait for the import of MLflow.

Only for stores that are databases, and only read; whatever is changed goes through MLflow's own client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tidemill.errors import StorageError, first_line

if TYPE_CHECKING:
    import sqlalchemy as sa

_DELETED = "Deleted_Internal"


@dataclass(frozen=True, slots=True)
class Listed:
    """A version as people describe it in the registry."""

    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """A registered name. `changed` is when MLflow last noted a change, which it does not do for aliases."""

    aliases: Mapping[str, int]
    versions: Mapping[int, Listed]
    changed: datetime | None = None


def is_database(uri: str) -> bool:
    """Whether the store behind a tracking URI is a database that can be read here."""
    return uri.partition(":")[0].partition("+")[0] in ("sqlite", "postgresql", "postgres", "mysql", "mssql")


def list_registry(uri: str) -> dict[str, Listing]:
    """Every registered name. Raises StorageError when the database cannot be read."""
    import sqlalchemy as sa

    engine = sa.create_engine(uri, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            return _listed(connection)
    except sa.exc.SQLAlchemyError as error:
        raise StorageError(
            f"MLflow's registry cannot be read: {first_line(error)}", "check the tracking server or database"
        ) from error
    finally:
        engine.dispose()


def _listed(connection: sa.Connection) -> dict[str, Listing]:
    import sqlalchemy as sa

    def rows(columns: str, table: str) -> list[tuple[str, ...]]:
        return [tuple(row) for row in connection.execute(sa.text(f"SELECT {columns} FROM {table}"))]  # noqa: S608 - below

    tags: dict[tuple[str, str], dict[str, str]] = {}
    for name, version, key, value in rows("name, version, key, value", "model_version_tags"):
        tags.setdefault((name, version), {})[key] = value or ""
    versions: dict[str, dict[int, Listed]] = {}
    for name, version, description, stage in rows("name, version, description, current_stage", "model_versions"):
        if stage != _DELETED:
            about = Listed(description or "", tags.get((name, version), {}))
            versions.setdefault(name, {})[int(version)] = about
    aliases: dict[str, dict[str, int]] = {}
    for name, alias, version in rows("name, alias, version", "registered_model_aliases"):
        aliases.setdefault(name, {})[alias] = int(version)
    return {
        name: Listing(aliases.get(name, {}), versions.get(name, {}), moment(changed))
        for name, changed in rows("name, last_updated_time", "registered_models")
    }


def moment(milliseconds: object) -> datetime | None:
    """MLflow's time stamps, milliseconds since 1970, as times."""
    return datetime.fromtimestamp(int(str(milliseconds)) / 1000, UTC) if milliseconds else None
