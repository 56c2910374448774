"""Take a token away."""

from __future__ import annotations

import click


@click.command(epilog="Example: tidemill tokens revoke shop")
@click.argument("name")
def command(name: str) -> None:
    """Take the token NAME away; running servers refuse it within two seconds."""
    from tidemill.project import tokens
    from tidemill.project.layout import find_project

    tokens.revoke(find_project(), name)
    click.echo(f"revoked: {name}")
