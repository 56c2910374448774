"""Versions with what the ledger and the registry say of them: described, tagged, searched and sorted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.domain.registry import Event, ModelVersion, RegistryState, fold
from tidemill.domain.where import check_name, parse_where
from tidemill.errors import InputError, nearest
from tidemill.project.database import foreign_uri
from tidemill.project.layout import Layout
from tidemill.project.noticing import listings
from tidemill.project.registry import events, tracking_uri

if TYPE_CHECKING:
    from tidemill.backends.registries.listing import Listed

_PLAIN = ("model", "version", "alias", "dataset", "registered", "bundle", "run", "description")


def versions(layout: Layout, name: str | None = None) -> list[dict[str, Any]]:
    """Every version, or those of one model, by model, the newest first.

    Each has `model`, `version`, `alias` (or None), `metrics`, `dataset`, `registered`, `bundle`, `run`, `description`
    and `tags`. Those that were deleted in the registry are left out.
    """
    found = events(layout, name)
    models = sorted({event.model for event in found if event.kind == "registered"})
    if not models and foreign_uri():
        tracking_uri(layout)  # whose server, when it is away, must not pass for an empty one
    listed = listings(layout, models) if models else {}
    rows = []
    for model in models:
        own = [event for event in found if event.model == model]
        state = fold(own)
        for event in reversed(own):
            if event.kind == "registered" and event.payload["version"] not in state.retired:
                listing = listed.get(model)
                about = listing.versions.get(event.payload["version"]) if listing is not None else None
                rows.append(_row(event, state) | {
                    "description": about.description if about else "", "tags": dict(about.tags) if about else {},
                })  # fmt: skip
    return rows


def _row(event: Event, state: RegistryState) -> dict[str, Any]:
    number = event.payload["version"]
    return {
        "model": event.model,
        "version": number,
        "alias": "champion" if number == state.champion else "challenger" if number == state.challenger else None,
        "metrics": event.payload["metrics"],
        "dataset": event.payload["dataset"],
        "registered": event.at,
        "bundle": event.payload["bundle"],
        "run": event.payload["run"],
    }


def search(rows: Sequence[Mapping[str, Any]], where: str | None, sort: str | None) -> list[dict[str, Any]]:
    """The `rows` of `versions` that pass the condition (see `domain.where`), sorted by a name, the largest first.

    `NAME asc` puts the smallest first; what has no value under that name comes last. Names are `metrics.NAME`,
    `tags.NAME` and the other keys of a row. Raises InputError, with the nearest, for a name that no row has.
    """
    flat = [flattened(row) for row in rows]
    known = {*_PLAIN, *(name for row in flat for name in row)}
    chosen = list(zip(rows, flat, strict=True))
    if where is not None:
        condition = parse_where(where)
        condition.check(known if rows else condition.names, kind="what versions have")
        chosen = [(row, values) for row, values in chosen if condition.matches(values)]
    if sort is not None:
        name, largest_first = sort_key(sort)
        if rows:
            check_name(name, known, kind="what versions have")
        chosen = _sorted(chosen, name, largest_first)
    return [dict(row) for row, _ in chosen]


def sort_key(sort: str) -> tuple[str, bool]:
    """`NAME`, `NAME desc` or `NAME asc` as the name, and whether the largest comes first."""
    words = sort.split()
    if not words or len(words) > 2 or (len(words) == 2 and words[1].lower() not in ("asc", "desc")):
        raise InputError(
            f"--sort {sort[:60]!r} makes no sense", "write it as  metrics.accuracy  or  'metrics.rmse asc'"
        )
    return words[0].replace("`", ""), words[-1].lower() != "asc" or len(words) == 1


def flattened(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with `metrics.NAME` and `tags.NAME` beside its plain values."""
    flat = {key: row[key] for key in _PLAIN}
    flat |= {f"metrics.{name}": value for name, value in row["metrics"].items()}
    return flat | {f"tags.{name}": value for name, value in row["tags"].items()}


Pair = tuple[Mapping[str, Any], dict[str, Any]]


def _sorted(pairs: Iterable[Pair], name: str, largest_first: bool) -> list[Pair]:
    there = list(pairs)
    with_value = [pair for pair in there if pair[1].get(name) is not None]
    without = [pair for pair in there if pair[1].get(name) is None]
    values = [pair[1][name] for pair in with_value]
    try:
        numbers = {id(pair): float(value) for pair, value in zip(with_value, values, strict=True)}
        with_value.sort(key=lambda pair: numbers[id(pair)], reverse=largest_first)
    except (TypeError, ValueError):  # texts and times
        with_value.sort(key=lambda pair: str(pair[1][name]), reverse=largest_first)
    return with_value + without


def tag(layout: Layout, version: ModelVersion, tags: Mapping[str, str], remove: Sequence[str] = ()) -> None:
    """Set tags of a version in the registry, and remove some. Raises InputError for one that it has not."""
    from tidemill.backends.registries.mlflow import MlflowRegistry

    there = about(layout, version).tags
    for key in remove:
        if key not in there:
            raise InputError(f"{version} has no tag {key[:80]!r}", nearest(key, there, kind="its tags"))
    MlflowRegistry(tracking_uri(layout)).tag(version, tags, remove)


def describe(layout: Layout, version: ModelVersion, text: str) -> None:
    """Give a version its description in the registry; an empty one takes it away."""
    from tidemill.backends.registries.mlflow import MlflowRegistry

    MlflowRegistry(tracking_uri(layout)).describe(version, text)


def about(layout: Layout, version: ModelVersion) -> Listed:
    """How people described a version in the registry: its description and tags."""
    from tidemill.backends.registries.listing import Listed

    listing = listings(layout, [version.name]).get(version.name)
    return (listing.versions.get(version.number) if listing else None) or Listed()
