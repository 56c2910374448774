"""How the difference of two data versions looks on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tidemill.cli.tables import print_table

if TYPE_CHECKING:
    from tidemill.dataset.diff import ColumnDiff, DatasetDiff, RowSample, SplitDiff
    from tidemill.dataset.profile import ColumnProfile

_CLASSES = 20
_RELABELLED = 5


def print_diff(found: DatasetDiff) -> None:
    """Rows of each split, classes, columns with their distributions, and some relabelled rows."""
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
    if found.columns:
        click.echo()
        print_table(
            ("column", "type", "missing", "mean", "sd", "median", "most frequent"),
            [_row(column) for column in found.columns],
        )


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
    types = [each.type for each in (column.before, column.after) if each is not None]
    sides = [_figures(each) for each in (column.before, column.after)]
    return [
        column.name,
        _arrow(types[0], types[-1]),
        *(_arrow(before, after) for before, after in zip(*sides, strict=True)),
    ]


def _arrow(before: str, after: str) -> str:
    return after if before == after else f"{before or '–'} -> {after or '–'}"


def _figures(profile: ColumnProfile | None) -> list[str]:
    """Share of missing values, mean, standard deviation, median, and the most frequent value with its share."""
    if profile is None:
        return [""] * 5
    numbers = [profile.mean, profile.sd, profile.quantiles[3] if profile.quantiles else None]
    present = max(1, profile.rows - profile.nulls)
    top = next(((value, rows) for value, rows in profile.top.items() if rows > 1), None)
    return [
        f"{profile.nulls / max(1, profile.rows):.1%}",
        *("" if value is None else f"{value:.4g}" for value in numbers),
        f"{top[0][:24]} {top[1] / present:.0%}" if top else "",
    ]
