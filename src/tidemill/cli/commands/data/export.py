"""Write a version out again, as files."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="Example: tidemill data export digits-v1.0.0 --out pictures")
@click.argument("version")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to make.")
def command(version: str, out: Path) -> None:
    """Write VERSION out again: pictures byte for byte in their folders, tables as one Parquet file a split."""
    from tidemill.project import data
    from tidemill.project.layout import find_project

    click.echo(f"wrote {data.export(find_project(), version, out)} files to {out}")
