"""Model versions: list, show, tag, promote, roll back, history, verify."""

from __future__ import annotations

from pathlib import Path

import click

from tidemill.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    package=__name__,
    folder=Path(__file__).parent,
    order=("list", "show", "describe", "tag", "promote", "rollback", "history", "verify"),
    epilog="Example: tidemill models promote digits 2 && tidemill models history digits",
)
def command() -> None:
    """List, show, promote and roll back model versions.

    A MODEL is name@alias or name/version. The champion is what servers of name@champion answer with.
    """
