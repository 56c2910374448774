"""Show what changed from one version to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option, print_json

if TYPE_CHECKING:
    from tidemill.dataset.diff import DatasetDiff, SplitDiff


@click.command(epilog="Example: tidemill data diff digits-v1.0.0 digits-v2.0.0")
@click.argument("a")
@click.argument("b")
@json_option
def command(a: str, b: str, as_json: bool) -> None:
    """Show what changed from version A to B: NAME-vX.Y.Z, or X.Y.Z of the project's own data set."""
    from tidemill.project import data
    from tidemill.project.layout import find_project

    found = data.diff(find_project(), a, b)
    if as_json:
        print_json(found)
    else:
        _print_diff(found)


def _print_diff(found: DatasetDiff) -> None:
    click.echo(f"{found.old} ({found.old_digest.short})  ->  {found.new} ({found.new_digest.short})")
    if found.equal:
        click.echo("  equal")
    for name in found.columns_added:
        click.echo(f"  column {name} is new")
    for name in found.columns_removed:
        click.echo(f"  column {name} is gone")
    for name, (before, after) in found.columns_retyped.items():
        click.echo(f"  column {name} was {before}, is {after}")
    for split in found.splits:
        click.echo(f"  {split.name:<6}{split.before:>8,} -> {split.after:<8,}{_changes(split)}")
        for label, (before_, after_) in split.classes.items():
            if before_ != after_:
                click.echo(f"          {label}: {before_:,} -> {after_:,}")


def _changes(split: SplitDiff) -> str:
    words = ("added", "removed", "changed", "relabelled", "renamed")
    return ", ".join(f"{getattr(split, word):,} {word}" for word in words if getattr(split, word)) or "as before"
