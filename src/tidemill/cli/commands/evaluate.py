"""Score a registered model on the test split of a data version."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option, print_json

if TYPE_CHECKING:
    from tidemill.stages.evaluate import Evaluation


@click.command(epilog="Example: tidemill evaluate digits@champion --version 2.0.0")
@click.argument("model")
@click.option("--data", "name", metavar="NAME", help="The data set; by default the one the model was trained on.")
@click.option("--version", metavar="X.Y.Z", help="Its version; by default the latest.")
@json_option
def command(model: str, name: str | None, version: str | None, as_json: bool) -> None:
    """Score MODEL (name@alias or name/version) on the test split of a data version: metrics, and a table by class."""
    from tidemill.project.layout import find_project
    from tidemill.project.training import evaluate_model

    evaluation = evaluate_model(find_project(), model, name=name, version=version)
    if as_json:
        print_json(evaluation)
        return
    for metric, value in evaluation.metrics.items():
        click.echo(f"{metric:<10} {value:.4f}")
    click.echo(f"{'rows':<10} {evaluation.rows}")
    if evaluation.labels:
        _print_classes(evaluation)


def _print_classes(evaluation: Evaluation) -> None:
    names = ("precision", "recall", "f1")
    if not sys.stdout.isatty():
        click.echo("\t".join(("class", *names, "support")))
        for label, row in evaluation.per_class.items():
            click.echo("\t".join((label, *(f"{row[name]:.4f}" for name in names), f"{row['support']:.0f}")))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("class")
    for name in (*names, "support"):
        table.add_column(name, justify="right")
    weak = dict(evaluation.worst())
    for label, row in evaluation.per_class.items():
        figures = [f"{row[name]:.1%}" for name in names]
        table.add_row(label, *figures, f"{row['support']:.0f}", style="yellow" if label in weak else "")
    Console().print(table)
