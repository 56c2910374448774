"""`tidemill train -m`: every combination of a grid, one after the other, as children of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tidemill.cli.options import print_json
from tidemill.cli.tables import print_table
from tidemill.cli.training import plain, train_shown
from tidemill.errors import TidemillError

if TYPE_CHECKING:
    from tidemill.project.grids import Row
    from tidemill.project.layout import Layout
    from tidemill.project.training import Trained


def train_grid(layout: Layout, settings: list[str], because: str | None, *, as_json: bool) -> None:
    """Train each row of the grid that `settings` span, and print the table of results.

    A row that fails is recorded, and the others are trained all the same; TidemillError names those that failed.
    """
    from tidemill.project import grids

    rows = grids.rows(layout, settings)
    done: list[tuple[Row, Trained]] = []
    with grids.parent_run(layout, rows) as parent:
        for number, row in enumerate(rows, 1):
            click.secho(f"{number}/{len(rows)}  {row.told}", bold=True, err=True)
            try:
                trained = train_shown(layout, row.overrides, because, parent=parent.run)
            except Exception as error:  # one row of many: it is told at the end
                reason = error.headline if isinstance(error, TidemillError) else f"{type(error).__name__}: {error}"
                click.secho(f"failed: {reason}", fg="red", err=True)
                parent.took(row, None, reason)
            else:
                parent.took(row, trained)
                done.append((row, trained))
    if as_json:
        print_json([{"settings": row.told, **plain(trained)} for row, trained in done])
    elif done:
        _print(done)
    if parent.failed:
        row, reason = parent.failed[0]
        raise TidemillError(
            f"{len(parent.failed)} of {len(rows)} trainings failed; the first, {row.told}: {reason}",
            f"the others are done; all are in grid.csv of the run {parent.run}",
        )


def _print(done: list[tuple[Row, Trained]]) -> None:
    names = list(dict.fromkeys(name for row, _ in done for name in row.swept))
    metrics = list(done[0][1].evaluation.metrics)
    print_table(
        ("version", *names, *metrics),
        [
            (str(each.version) if each.registered else "none", *(row.swept.get(name, "") for name in names),
             *(f"{each.evaluation.metrics[name]:.4f}" for name in metrics))
            for row, each in done
        ],
        right=metrics,
    )  # fmt: skip
