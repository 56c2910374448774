"""`tidemill train -m`: every combination of a grid, one after the other, as children of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tidemill.cli.options import print_json
from tidemill.cli.tables import print_table
from tidemill.cli.training import plain, train_shown

if TYPE_CHECKING:
    from tidemill.project.layout import Layout


def train_grid(layout: Layout, settings: list[str], because: str | None, *, as_json: bool) -> None:
    """Train each row of the grid that `settings` span, and print the table of results."""
    from tidemill.project import configuration, training

    rows = configuration.grid(layout, settings)
    fixed = set.intersection(*(set(row) for row in rows)) if len(rows) > 1 else set()
    done = []
    with training.parent_run(layout, rows[0], len(rows)) as parent:
        for number, row in enumerate(rows, 1):
            told = " ".join(each for each in row if each not in fixed)
            click.secho(f"{number}/{len(rows)}  {told}", bold=True, err=True)
            done.append((told, train_shown(layout, row, because, parent=parent)))
    if as_json:
        print_json([{"settings": told, **plain(trained)} for told, trained in done])
        return
    metrics = list(done[0][1].evaluation.metrics)
    print_table(
        ("version", "settings", *metrics),
        [
            (str(each.version), told, *(f"{each.evaluation.metrics[name]:.4f}" for name in metrics))
            for told, each in done
        ],
    )
