"""List all versions, or those of the model NAME, the newest first."""

from __future__ import annotations

import click

from tidemill.cli.options import json_option, print_json


@click.command(epilog="Example: tidemill models list")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List all versions, or those of the model NAME, the newest first."""
    from tidemill.cli import models_view
    from tidemill.project import models
    from tidemill.project.layout import find_project

    layout = find_project()
    models.reconcile(layout)
    if name is not None:
        models.state(layout, name)  # an unknown name is an error
    rows = [row for row in models_view.versions(layout) if name in (None, row["model"])]
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("no model yet:  tidemill train")
    else:
        models_view.print_versions(rows)
