"""List all versions, or those of one model, the newest first."""

from __future__ import annotations

import click

from tidemill.cli.options import json_option, print_json


@click.command(epilog="Example: tidemill models list --where \"metrics.accuracy > 0.9 and tags.family = 'xgboost'\"")
@click.argument("name", required=False)
@click.option(
    "--where", metavar="CONDITION", help="Only those that pass; names as in --json: metrics.X, tags.X, alias…"
)
@click.option("--sort", metavar="NAME", help="Largest first by this name; 'NAME asc' for the smallest first.")
@json_option
def command(name: str | None, where: str | None, sort: str | None, as_json: bool) -> None:
    """List all versions, or those of the model NAME, the newest first.

    A CONDITION has comparisons (=, !=, <, <=, >, >=), like, ilike, in (…), and, or, not and parentheses; texts are in
    'quotes', names with other characters in `backquotes`.
    """
    from tidemill.cli import models_view
    from tidemill.project import finding, models
    from tidemill.project.layout import find_project

    layout = find_project()
    models.reconcile(layout)
    if name is not None:
        models.state(layout, name)  # an unknown name is an error
    there = finding.versions(layout, name)
    rows = finding.search(there, where, sort)
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("no version passes" if there else "no model yet:  tidemill train")
    else:
        models_view.print_versions(rows, models_view.asked_columns(where, sort))
