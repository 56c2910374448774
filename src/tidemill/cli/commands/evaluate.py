"""Score a registered model on a data version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option, print_json

if TYPE_CHECKING:
    from tidemill.project.evaluating import Evaluated


@click.command(epilog="Example: tidemill evaluate digits@champion --version 2.0.0")
@click.argument("model")
@click.option("--data", "name", metavar="NAME", help="The data set; by default the one the model was trained on.")
@click.option("--version", metavar="X.Y.Z", help="Its version; by default the latest.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@json_option
def command(model: str, name: str | None, version: str | None, open_page: bool, as_json: bool) -> None:
    """Score MODEL (name@alias or name/version) on a data version: metrics, a table by class, and a page."""
    from tidemill.cli import browser
    from tidemill.domain.record import to_plain
    from tidemill.project.evaluating import evaluate_version
    from tidemill.project.layout import find_project

    done = evaluate_version(find_project(), model, name=name, version=version)
    if as_json:
        print_json({**to_plain(done.evaluation), "dataset": done.dataset, "page": str(done.page)})
    else:
        _print(done)
    if open_page:
        browser.open_page(done.page)


def _print(done: Evaluated) -> None:
    from tidemill.cli.model_view import print_classes, print_metrics

    evaluation = done.evaluation
    print_metrics(evaluation)
    if evaluation.labels:
        click.echo()
        print_classes(evaluation.per_class, dict(evaluation.worst()))
    click.echo(f"\non {done.dataset}; all of it:  {_near(done.page)}")


def _near(page: Path) -> str:
    """As short as it can be said from here."""
    here = Path.cwd()
    return os.path.relpath(page, here) if page.is_relative_to(here) else str(page)
