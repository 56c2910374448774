"""Run the whole loop on real handwritten digits, in about a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tidemill.cli.options import json_option, print_json


@click.command(epilog="Example: tidemill demo --dir /tmp/tide. The folder is a project to play with afterwards.")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), default=Path("tidemill-demo"), show_default=True,
    help="Where; an earlier demo there is replaced.",
)  # fmt: skip
@json_option
def command(directory: Path, as_json: bool) -> None:
    """Eight steps, each the public command it prints: data, train, serve, monitor, decide, renew, trace, look.

    Nothing is invented: every figure is read back from the store that keeps it.
    """
    from tidemill.demo import story
    from tidemill.demo.display import open_display

    display = open_display(story.TITLES)
    try:
        facts = story.run(directory, display)
    finally:
        display.close()
    if as_json:
        print_json(facts)
    else:
        _print_closing(facts)


def _print_closing(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    before, after, requests = facts["before"], facts["after"], facts["requests"]
    table = Table(title="\nWhat stands now", title_justify="left", title_style="bold", header_style="grey58")
    for heading in ("", "before", "after"):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row("champion", before["version"], after["version"])
    table.add_row("data", before["data"], after["data"])
    table.add_row("accuracy on the test split", f"{before['accuracy']:.1%}", f"{after['accuracy']:.1%}")
    for label, accuracy in before["withheld"].items():
        table.add_row(f"  class {label}", f"{accuracy:.1%}", f"{after['withheld'][label]:.1%}")
    table.add_row("requests sent", "", f"{requests['sent']:,}")
    table.add_row("requests answered", "", f"{requests['answered']:,}")
    table.add_row("answers in the log", "", f"{requests['logged']:,}")
    console = Console(highlight=False)
    console.print(table)
    console.print(f"drift report   {facts['report']}", soft_wrap=True)
    console.print(f"traces         tidemill trace {facts['traced'][0]}   and   {facts['traced'][1]}", soft_wrap=True)
    console.print(f"look           cd {facts['project']} && tidemill ui", soft_wrap=True)
