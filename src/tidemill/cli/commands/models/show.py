"""Show the card of MODEL: metrics, classes, export, intended use, lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option, print_json

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog="Example: tidemill models show digits@champion --open")
@click.argument("model")
@click.option("--open", "open_page", is_flag=True, help="Open its page in the browser.")
@json_option
def command(model: str, open_page: bool, as_json: bool) -> None:
    """Show the card of MODEL: metrics, classes, export, intended use, lineage, and where its page is."""
    from pathlib import Path

    from tidemill.bundle.read import read_record
    from tidemill.cli import models_view
    from tidemill.cli.model_view import print_model
    from tidemill.project import finding, models
    from tidemill.project.layout import find_project
    from tidemill.project.reports import bundle_page, bundle_report

    foreign, about = models.is_bundle(model), None
    if foreign:
        directory = Path(model)
        bundle, digest = read_record(directory)
        title = f"{bundle.name}, bundle in {model}"
    else:
        layout = find_project()
        models.reconcile(layout)
        version = models.resolve(layout, model)
        directory = models.local_bundle(layout, version)
        bundle, digest = read_record(directory)
        title, about = models_view.title(version, models.state(layout, version.name)), finding.about(layout, version)
    report, page = bundle_report(directory, bundle), bundle_page(directory, bundle)
    if as_json:
        said = {"description": about.description, "tags": dict(about.tags)} if about is not None else {}
        print_json(
            {"title": title, "digest": digest, **said, "bundle": bundle, "report": report, "page": page and str(page)}
        )
    else:
        print_model(title, bundle, digest, report, page, about)
    if open_page:
        _open(page, foreign)


def _open(page: Path | None, foreign: bool) -> None:
    """A page that anybody may have written is for the user to open, not for us."""
    from tidemill.cli.browser import open_page
    from tidemill.errors import InputError, NotFoundError

    if page is None:
        raise NotFoundError("this bundle has no page", "make one:  tidemill evaluate MODEL --open")
    if foreign:
        raise InputError(f"{page} was not made in this project", "open it yourself if you trust whoever made it")
    open_page(page)
