"""Show the card of MODEL: metrics, classes, export, lineage."""

from __future__ import annotations

import click

from tidemill.cli.options import json_option, print_json


@click.command(epilog="Example: tidemill models show digits@champion")
@click.argument("model")
@json_option
def command(model: str, as_json: bool) -> None:
    """Show the card of MODEL: metrics, classes, export, lineage."""
    from tidemill.bundle.read import read_record
    from tidemill.cli import models_view
    from tidemill.project import models
    from tidemill.project.layout import find_project

    if models.is_bundle(model):
        from pathlib import Path

        bundle, digest = read_record(Path(model))
        title = f"{bundle.name}, bundle in {model}"
    else:
        layout = find_project()
        models.reconcile(layout)
        version = models.resolve(layout, model)
        bundle, digest = read_record(models.local_bundle(layout, version))
        title = models_view.title(version, models.state(layout, version.name))
    if as_json:
        print_json({"title": title, "digest": digest, "bundle": bundle})
    else:
        models_view.print_card(title, bundle, digest)
