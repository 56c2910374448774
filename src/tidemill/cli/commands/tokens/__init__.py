"""Tokens of those who may ask the server: add, list, revoke."""

from __future__ import annotations

from pathlib import Path

import click

from tidemill.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    package=__name__,
    folder=Path(__file__).parent,
    order=("add", "list", "revoke"),
    epilog="Example: tidemill tokens add shop --scope predict,feedback --rate 100/s",
)
def command() -> None:
    """Add, list and revoke tokens of those who may ask the server.

    Servers that listen beyond this machine ask for one. Changes reach running servers within two seconds.
    """
