"""Write a version out again, as files."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="Example: tidemill data export digits-v1.0.0 --out pictures")
@click.argument("version")
@click.option("--by-split", is_flag=True, help="Pictures whose split was drawn go into a folder of that split.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to make.")
def command(version: str, out: Path, by_split: bool) -> None:
    """Write VERSION out again: pictures byte for byte in their folders, tables as one Parquet file a split."""
    from tidemill.project import data
    from tidemill.project.layout import find_project

    click.echo(f"wrote {data.export(find_project(), version, out, by_split=by_split)} files to {out}")
