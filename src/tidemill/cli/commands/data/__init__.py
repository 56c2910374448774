"""Data versions: add, list, diff, push, pull, export."""

from __future__ import annotations

from pathlib import Path

import click

from tidemill.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    package=__name__,
    folder=Path(__file__).parent,
    order=("add", "list", "diff", "push", "pull", "export"),
    epilog="Example: tidemill data add pictures --name pets && tidemill data diff pets-v1.0.0 pets-v1.1.0",
)
def command() -> None:
    """Add, list, compare, push, pull and export data versions.

    A version is the git tag NAME-vX.Y.Z; DVC holds its bytes.
    """
