"""Give a version its description."""

from __future__ import annotations

import click


@click.command(epilog='Example: tidemill models describe digits/2 "trained on the cleaned scans"')
@click.argument("model")
@click.argument("text")
def command(model: str, text: str) -> None:
    """Give MODEL the description TEXT, an empty one to take it away. It is MLflow's, its UI shows it too."""
    from tidemill.errors import InputError
    from tidemill.project import finding, models
    from tidemill.project.layout import find_project

    if len(text) > 5000:
        raise InputError(f"the description is {len(text):,} characters long", "at most 5,000 are kept")
    layout = find_project()
    models.reconcile(layout)
    version = models.resolve(layout, model)
    finding.describe(layout, version, text)
    click.echo(f"{version}: {text or 'no description'}")
