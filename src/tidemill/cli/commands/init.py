"""Make a project: a git and DVC repository with small real data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from tidemill.cli.options import json_option, print_json

if TYPE_CHECKING:
    from tidemill.domain.dataset import Task


@click.command(epilog="Example: tidemill init digits --task image && cd digits")
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--task", required=True, type=click.Choice(["image", "text", "tabular"]), help="What its models predict from."
)
@click.option("--sample", metavar="SAMPLE", help="digits; docstrings; breast-cancer or diabetes (a regression).")
@click.option("--empty", is_flag=True, help="Without data.")
@json_option
def command(name: Path, task: str, sample: str | None, empty: bool, as_json: bool) -> None:
    """Make the project NAME, a new folder: a git and DVC repository with its small real data as version 1.0.0."""
    if empty and sample:
        raise click.UsageError("--empty and --sample exclude each other")
    from tidemill.project import data, scaffold

    chosen = None if empty else sample or "default"
    layout = scaffold.init(name, name=name.name, task=cast("Task", task), sample=chosen)
    versions = data.versions(layout)
    if as_json:
        print_json({"root": str(layout.root), "task": task, "versions": versions})
        return
    click.echo(f"made {name}, a project for {task} models" + ("" if versions else ", without data"))
    for version in versions:
        rows = ", ".join(f"{split.rows:,} {split.name}" for split in version.splits)
        what = f"{len(version.classes)} classes" if version.classes else "a value to predict"
        click.echo(f"  {version.tag}  {rows} · {what} · {version.digest.short}")
    after = "tidemill train" if versions else f"tidemill data add PATH --name {name.name}"
    click.echo(f"next:  cd {name} && {after}")
