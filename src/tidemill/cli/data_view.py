"""How data versions, and the work on them, look on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tidemill.dataset.source import Progress
    from tidemill.domain.dataset import DatasetVersion
    from tidemill.project.data.adding import Added


@contextmanager
def checking(doing: str) -> Iterator[Progress]:
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


def print_next(added: Added, project: str) -> None:
    """What the new version is against the one before, and what can be done with it, on standard error."""
    if added.change is not None:
        tag, more, fewer = added.change
        click.echo(
            f"      +{more:,} -{fewer:,} rows against {tag}:  tidemill data diff {tag} {added.version.tag}", err=True
        )
    name = added.version.name
    click.echo(f"next:  tidemill train{'' if name == project else f' data={name}'}", err=True)


def line(version: DatasetVersion) -> str:
    """A version in one line."""
    rows = ", ".join(f"{split.rows:,} {split.name}" for split in version.splits)
    return f"{version.tag}: {rows} · {_what(version)} · {version.digest.short}"


def _what(version: DatasetVersion) -> str:
    if version.kind == "regression":
        return f"{version.column('target').name} to predict"
    return f"{len(version.classes)} classes"


def print_table(versions: Sequence[DatasetVersion]) -> None:
    """Versions as a table."""
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
