"""Tables on standard output: drawn on a terminal, tab-separated lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """`rows` under `columns`; those in `right` are aligned to the right. Cells are plain text, never markup."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            click.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def mark(held: bool) -> str:
    """A tick or a cross, coloured where there are colours."""
    return click.style("✓", fg="green") if held else click.style("✗", fg="red")
