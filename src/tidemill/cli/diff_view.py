"""How the difference of two data versions looks on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tidemill.cli.tables import print_table
from tidemill.dataset.profile import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.dataset.diff import ColumnDiff, DatasetDiff, RowSample, SplitDiff
    from tidemill.dataset.profile import ColumnProfile

_CLASSES = 20
_RELABELLED = 5
_APART = 0.05  # two halves of one set are as far apart as 2 or 3 %


def print_diff(found: DatasetDiff) -> None:
    """Rows of each split, classes, columns that are distributed otherwise, and some relabelled rows."""
    click.echo(f"{found.old} ({found.old_digest.short})  ->  {found.new} ({found.new_digest.short})")
    if found.equal:
        click.echo("  equal")
        return
    for name in found.columns_added:
        click.echo(f"  column {name} is new")
    for name in found.columns_removed:
        click.echo(f"  column {name} is gone")
    for name, (before, after) in found.columns_retyped.items():
        click.echo(f"  column {name} was {before}, is {after}")
    for split in found.splits:
        click.echo(f"  {split.name:<6}{split.before:>8,} -> {split.after:<8,}{_changes(split)}")
        _print_classes(split)
    for sample in [each for each in found.samples if each.what == "relabelled"][:_RELABELLED]:
        click.echo(f"  relabelled: {_shown(sample)}: {sample.was} -> {sample.label}")
    _print_columns(sorted(found.columns, key=lambda column: -column.apart))


def _print_columns(columns: Sequence[ColumnDiff]) -> None:
    """Those whose values are distributed otherwise, the farthest apart first."""
    moved = [column for column in columns if column.apart >= _APART]
    if moved:
        click.echo()
        print_table(("column", "apart", "was", "is"), [_row(column) for column in moved], right=("apart",))
    if rest := len(columns) - len(moved):
        noun = f"{'other ' if moved else ''}column{'' if rest == 1 else 's'}"
        click.echo(f"  {rest} {noun} less than {_APART:.0%} apart")


def _changes(split: SplitDiff) -> str:
    words = ("added", "removed", "changed", "relabelled", "renamed")
    return ", ".join(f"{getattr(split, word):,} {word}" for word in words if getattr(split, word)) or "as before"


def _print_classes(split: SplitDiff) -> None:
    changed = {label: pair for label, pair in split.classes.items() if pair[0] != pair[1]}
    for label, (before, after) in list(changed.items())[:_CLASSES]:
        click.echo(f"          {label}: {before:,} -> {after:,}")
    if len(changed) > _CLASSES:
        click.echo(f"          and {len(changed) - _CLASSES:,} more classes")


def _shown(sample: RowSample) -> str:
    words = f"{sample.name} {sample.text[:60]}".strip()
    return "".join(each if each.isprintable() else "?" for each in words)


def _row(column: ColumnDiff) -> list[str]:
    before, after = _figures(column.before), _figures(column.after)
    both = column.before is not None and column.after is not None
    words = [word for word in before | after if not both or before.get(word) != after.get(word)]
    sides = [", ".join(f"{word} {side[word]}" for word in words if word in side) for side in (before, after)]
    return [column.name, f"{column.apart:.0%}", *(side or "–" for side in sides)]


def _figures(profile: ColumnProfile | None) -> dict[str, str]:
    """What tells a column from another one: of numbers their middle and spread, of dates their ends, of names the most
    frequent with its share; and the share of missing values."""
    if profile is None:
        return {}
    found = {}
    if profile.mean is not None and profile.sd is not None and profile.quantiles:
        median = profile.quantiles[QUANTILES.index(0.5)]
        found = {"median": f"{median:.4g}", "mean": f"{profile.mean:.4g}", "sd": f"{profile.sd:.3g}"}
    elif profile.low is not None:
        found = {"from": str(profile.low)[:16], "to": str(profile.high)[:16]}
    elif profile.top:
        value, rows = next(iter(profile.top.items()))
        found = {"mostly": f"{value[:24]} {rows / max(1, profile.rows - profile.nulls):.0%}"}
    return found | {"missing": f"{profile.nulls / max(1, profile.rows):.1%}"}
