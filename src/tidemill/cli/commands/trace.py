"""Walk from an answer back to the model, config, code, environment and data that made it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option, print_json

if TYPE_CHECKING:
    from tidemill.project.layout import Layout


@click.command(epilog="Example: tidemill trace 01K9YV5J3T6Q8R2N4B7M1XWZCD. Exit code 1 when a link is broken.")
@click.argument("subject")
@click.option("--files", is_flag=True, help="Upwards: also list the files that were rehashed, of bundle and data.")
@click.option("--diff", is_flag=True, help="Upwards: also show how the code differed from its commit.")
@click.option("--ids", is_flag=True, help="Downwards: print the id of each answer, one a line.")
@json_option
def command(subject: str, files: bool, diff: bool, ids: bool, as_json: bool) -> None:
    """Show what made the answer SUBJECT, and recheck every digest on the way. Needs no network.

    Upwards, SUBJECT is the id of a prediction: each record that led to it, ✓ where its digest was computed again and
    fits, ✗ where it does not, · where there was nothing to compute it from. Downwards, of a model version
    (digits@champion, digits/3) or a data version (digits-v1.0.0): the versions and answers that came of it.
    """
    from tidemill.domain.prediction import is_prediction_id
    from tidemill.project.layout import find_project

    layout = find_project()
    up = is_prediction_id(subject)
    for option, given, way in (("--files", files, True), ("--diff", diff, True), ("--ids", ids, False)):
        if given and up is not way:
            raise click.UsageError(f"{option} is for {'an answer' if way else 'a model or data version'}")
    if up:
        held = _up(layout, subject, files, diff, as_json)
    else:
        held = _down(layout, subject, ids, as_json)
    sys.exit(0 if held else 1)


def _up(layout: Layout, prediction_id: str, files: bool, diff: bool, as_json: bool) -> bool:
    from tidemill.cli import trace_view
    from tidemill.project import tracing

    found = tracing.trace(layout, prediction_id)
    changes = tracing.dirty_diff(layout, found) if diff else None
    if as_json:
        said = {"prediction": found.prediction, "verified": found.verified, "links": found.links}
        print_json(said | ({"diff": changes} if diff else {}))
    else:
        trace_view.print_trace(found, files=files)
        if changes is not None:
            click.echo(changes, nl=False)
    return found.verified


def _down(layout: Layout, subject: str, ids: bool, as_json: bool) -> bool:
    from tidemill.cli import trace_view
    from tidemill.project import descending

    found = descending.descend(layout, subject)
    if as_json:
        more = {"ids": list(descending.answer_ids(layout, found))} if ids else {}
        print_json({**trace_view.plain(found), **more})
    elif ids:
        for each in descending.answer_ids(layout, found):
            click.echo(each)
    else:
        trace_view.print_descent(found)
    return found.verified
