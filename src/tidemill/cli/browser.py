"""Opening a page in the user's browser."""

from __future__ import annotations

from pathlib import Path

import click


def open_page(page: Path) -> None:
    """Have the browser show the file `page`; where there is none, say where the page is."""
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        click.echo(f"no browser to be found; the page is {page.resolve()}", err=True)
