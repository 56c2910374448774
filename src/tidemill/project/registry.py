"""What the ledger says about model versions, and the names by which people ask for them.

Reading needs the ledger alone: MLflow, which takes seconds to import, follows the ledger and is never asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.dataset import is_name
from tidemill.domain.digest import Digest
from tidemill.domain.registry import Event, ModelVersion, RegistryState, fold
from tidemill.errors import InputError, NotFoundError, nearest
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.backends.ledgers.sql import SqlLedger

ALIASES = ("champion", "challenger")
FORMS = "name@alias or name/version: digits@champion, digits/3"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """What a MODEL argument names: a version by its number, or by an alias. One of the two is None."""

    name: str
    alias: str | None
    number: int | None


def parse_model(text: str) -> ModelRef:
    """Raises InputError for anything but name@alias and name/version."""
    name, mark, rest = text.partition("@")
    if mark and is_name(name) and re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", rest):
        return ModelRef(name, rest, None)
    name, mark, rest = text.partition("/")
    if mark and is_name(name) and re.fullmatch(r"[1-9][0-9]{0,8}", rest):
        return ModelRef(name, None, int(rest))
    raise InputError(f"{text[:80]!r} names no model version", f"write {FORMS}, or the path of a bundle's folder")


def tracking_uri(layout: Layout) -> str:
    """Where MLflow keeps runs and versions; the project's database is made when it is missing."""
    from tidemill.project.database import ensure_database

    return ensure_database(layout)


def ledger(layout: Layout) -> SqlLedger:
    """The project's ledger: in MLflow's database; among the project's state, a file for each server, where MLflow is
    behind HTTP: each server counts versions for itself."""
    from tidemill.backends.ledgers.sql import SqlLedger
    from tidemill.project.database import foreign_uri

    uri = foreign_uri()
    if not is_served(uri):
        uri = tracking_uri(layout)
    else:
        layout.state.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{_served_ledger(layout, uri)}"
    return SqlLedger(uri)


def is_served(uri: str) -> bool:
    """Whether MLflow is behind a server, which may be away while the ledger is not."""
    return uri.partition(":")[0] in ("http", "https", "databricks", "uc", "databricks-uc")


def _served_ledger(layout: Layout, uri: str) -> Path:
    """`ledger.db` is that of the first server, where a project has one that is not yet named by the address."""
    alone = layout.state / "ledger.db"
    own = layout.state / f"ledger-{Digest.of_bytes(uri.rstrip('/').encode()).short}.db"
    return alone if alone.is_file() and not own.is_file() else own


def events(layout: Layout, name: str | None = None) -> list[Event]:
    """The ledger's lines; none in a project that has no database yet."""
    if not layout.database.is_file() and not os.environ.get("MLFLOW_TRACKING_URI"):
        return []
    return ledger(layout).events(name)


def names(layout: Layout) -> list[str]:
    """The models that have a version, sorted."""
    return sorted({event.model for event in events(layout) if event.kind == "registered"})


def state(layout: Layout, name: str) -> RegistryState:
    """The versions, champion and challenger of `name`. Raises NotFoundError for a name without versions."""
    found = events(layout, name)
    known = fold(found)
    if not known.versions:
        raise no_such_model(layout, name)
    return known


def resolve(layout: Layout, text: str) -> ModelVersion:
    """The version that a MODEL argument names. Raises InputError, NotFoundError listing the nearest that there are."""
    ref = parse_model(text)
    known = state(layout, ref.name)
    if ref.number is not None:
        return version_of(known, ref.name, ref.number)
    if ref.alias not in ALIASES:
        raise NotFoundError(f"there is no alias {ref.alias!r}", nearest(str(ref.alias), ALIASES, kind="aliases"))
    number = known.champion if ref.alias == "champion" else known.challenger
    if number is None:
        shown = ", ".join(f"{ref.name}/{each}" for each in sorted(known.versions)[-5:])
        remedy = f"versions: {shown}"
        if ref.alias == "champion":
            remedy = f"make one:  tidemill models promote {ref.name} {max(known.versions)}"
        raise NotFoundError(f"{ref.name} has no {ref.alias} yet", remedy)
    return known.versions[number]


def version_of(known: RegistryState, name: str, number: int) -> ModelVersion:
    """Raises NotFoundError listing the nearest versions."""
    if number not in known.versions:
        there = [f"{name}/{each}" for each in sorted(known.versions)]
        raise NotFoundError(f"there is no version {name}/{number}", f"versions: {_last(there)}")
    return known.versions[number]


def no_such_model(layout: Layout, name: str) -> NotFoundError:
    """The error for a name without versions."""
    known = names(layout)
    remedy = nearest(name, known, kind="models") if known else "train one:  tidemill train"
    return NotFoundError(f"there is no model {name[:80]!r}", remedy)


def _last(texts: Sequence[str]) -> str:
    return ("…, " if len(texts) > 8 else "") + ", ".join(texts[-8:])


def is_bundle(text: str) -> bool:
    """Whether a MODEL argument is the directory of a bundle."""
    return (Path(text) / "bundle.json").is_file()
