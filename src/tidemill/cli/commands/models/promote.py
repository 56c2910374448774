"""Make VERSION of NAME the champion, on the evidence of the newest data version's test split."""

from __future__ import annotations

import click

from tidemill.cli.bars import bar
from tidemill.cli.options import json_option, print_json


@click.command(epilog="Example: tidemill models promote digits 2")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--force", metavar="REASON", help="Promote although the evidence does not hold; the reason is kept.")
@json_option
def command(name: str, version: int, force: str | None, as_json: bool) -> None:
    """Make VERSION of NAME the champion, on the evidence of the newest data version's test split.

    Exits with 1 when the evidence does not hold, and changes nothing then.
    """
    from tidemill.cli import models_view
    from tidemill.errors import InputError
    from tidemill.project import models
    from tidemill.project.layout import find_project

    if force is not None and not force.strip():
        raise InputError("--force needs a reason", 'for example  --force "the old model is broken"')
    layout = find_project()
    with bar() as reporter:
        event = models.promote(layout, name, version, force=force, reporter=reporter)
    if as_json:
        print_json(event)
    else:
        models_view.print_promotion(event)
