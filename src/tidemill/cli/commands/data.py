"""Data versions: add, list, diff, push, pull, export."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from tidemill.cli.options import json_option, print_json
from tidemill.errors import NotFoundError, nearest

if TYPE_CHECKING:
    from tidemill.dataset.diff import DatasetDiff, SplitDiff
    from tidemill.dataset.source import Progress
    from tidemill.domain.dataset import DatasetVersion, Kind


@click.group(
    epilog="Example: tidemill data add pictures --name pets && tidemill data diff pets-v1.0.0 pets-v1.1.0",
)
def command() -> None:
    """Add, list, compare, push, pull and export data versions.

    A version is the git tag NAME-vX.Y.Z; DVC holds its bytes.
    """


@command.command(epilog="Example: tidemill data add trips.parquet --name trips --target duration")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name of the data set.")
@click.option("--version", help="X.Y.Z; 1.0.0 when it is the first, then the next minor.")
@click.option("--target", metavar="COLUMN", help="Table: the column to predict.")
@click.option("--text", metavar="COLUMN", help="Text: the column with the text.")
@click.option(
    "--kind", type=click.Choice(["classification", "regression"]), help="What the target is, when it is unclear."
)
@click.option("--no-header", is_flag=True, help="CSV, TSV: the first line is data; columns are c1, c2, …")
@click.option("--as-text", metavar="COLUMN", multiple=True, help="CSV, TSV: text, although it looks like numbers.")
@json_option
def add(
    path: Path, name: str, version: str | None, target: str | None, text: str | None, kind: str | None,
    no_header: bool, as_text: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Check the data at PATH, pack it, and make it a version.

    PATH is a folder of class folders with pictures (with or without train, val and test folders around them), a
    Parquet, CSV or TSV file, or a folder with one for each of train, val and test. Splits that are missing are drawn
    by content, so that a row stays in its split.
    """
    from tidemill.project import data
    from tidemill.project.layout import find_project
    from tidemill.stages.ingest import Reading

    notes: list[str] = []
    reading = Reading(target, text, cast("Kind | None", kind), not no_header, frozenset(as_text))
    layout = find_project()
    with _progress("checking") as progress:
        added = data.add_version(
            layout, path, name=name, version=version, reading=reading, note=notes.append, progress=progress
        )
    for note in notes:
        click.secho(f"note: {note}", err=True, fg="yellow")
    if as_json:
        print_json({"version": added.version, "new": added.new, "notes": notes})
    else:
        click.echo(("added " if added.new else "unchanged ") + _line(added.version))


@command.command("list", epilog="Example: tidemill data list")
@click.argument("name", required=False)
@json_option
def list_(name: str | None, as_json: bool) -> None:
    """List all data versions, or those of NAME."""
    from tidemill.project import data
    from tidemill.project.layout import find_project

    every = data.versions(find_project())
    versions = [version for version in every if name in (None, version.name)]
    if name is not None and every and not versions:
        known = {version.name for version in every}
        raise NotFoundError(f"there is no data set {name!r}", nearest(name, known, kind="data sets"))
    if as_json:
        print_json(versions)
    elif not versions:
        click.echo("no data yet:  tidemill data add PATH --name NAME")
    elif sys.stdout.isatty():
        _print_table(versions)
    else:
        for version in versions:
            click.echo(_line(version))


@command.command(epilog="Example: tidemill data diff digits-v1.0.0 digits-v2.0.0")
@click.argument("a")
@click.argument("b")
@json_option
def diff(a: str, b: str, as_json: bool) -> None:
    """Show what changed from version A to B: NAME-vX.Y.Z, or X.Y.Z of the project's own data set."""
    from tidemill.project import data
    from tidemill.project.layout import find_project

    found = data.diff(find_project(), a, b)
    if as_json:
        print_json(found)
    else:
        _print_diff(found)


@command.command(epilog="Example: tidemill data push")
@json_option
def push(as_json: bool) -> None:
    """Upload every version's data to DVC's default remote."""
    from tidemill.project import data
    from tidemill.project.layout import find_project

    count = data.push(find_project())
    if as_json:
        print_json({"pushed": count})
    else:
        click.echo(f"pushed {count} files; the versions themselves:  git push --follow-tags")


@command.command(epilog="Example: tidemill data pull")
@json_option
def pull(as_json: bool) -> None:
    """Download every version's data from DVC's default remote."""
    from tidemill.project import data
    from tidemill.project.layout import find_project

    count = data.pull(find_project())
    if as_json:
        print_json({"pulled": count})
    else:
        click.echo(f"pulled {count} files")


@command.command(epilog="Example: tidemill data export digits-v1.0.0 --out pictures")
@click.argument("version")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to make.")
def export(version: str, out: Path) -> None:
    """Write VERSION out again: pictures byte for byte in their folders, tables as one Parquet file a split."""
    from tidemill.project import data
    from tidemill.project.layout import find_project

    click.echo(f"wrote {data.export(find_project(), version, out)} files to {out}")


@contextmanager
def _progress(doing: str) -> Iterator[Progress]:
    """A bar on standard error while that is a terminal; silent otherwise."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _line(version: DatasetVersion) -> str:
    rows = ", ".join(f"{split.rows:,} {split.name}" for split in version.splits)
    return f"{version.tag}: {rows} · {_what(version)} · {version.digest.short}"


def _what(version: DatasetVersion) -> str:
    if version.kind == "regression":
        return f"{version.column('target').name} to predict"
    return f"{len(version.classes)} classes"


def _print_table(versions: list[DatasetVersion]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("version", "task"):
        table.add_column(heading)
    for heading in ("train", "val", "test"):
        table.add_column(heading, justify="right")
    table.add_column("classes")
    table.add_column("digest", style="dim")
    for version in versions:
        rows = {split.name: f"{split.rows:,}" for split in version.splits}
        table.add_row(
            version.tag, version.task, *(rows.get(name, "") for name in ("train", "val", "test")),
            _what(version), version.digest.short,
        )  # fmt: skip
    Console().print(table)


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
