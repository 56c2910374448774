"""Export a version again from its source, compare both, and write its bundle out."""

from __future__ import annotations

from pathlib import Path

import click

from tidemill.cli.bars import bar
from tidemill.cli.options import json_option, print_json
from tidemill.cli.tables import mark


@click.command(epilog="Example: tidemill export digits@champion --to digits-bundle")
@click.argument("model")
@click.option("--to", type=click.Path(path_type=Path), help="A directory to make, with the bundle as it is registered.")
@json_option
def command(model: str, to: Path | None, as_json: bool) -> None:
    """Export MODEL again from the source its run keeps, and compare it with that on every test row.

    Every training exports; this repeats it on this machine. Exits with 1 when more decisions change than
    export.max_changed allows.
    """
    from tidemill.project.exporting import export_again
    from tidemill.project.layout import find_project

    with bar() as reporter:
        found = export_again(find_project(), model, to=to, reporter=reporter)
    if as_json:
        print_json(found)
        return
    parity = found.parity
    click.secho(f"{found.version}, exported again", bold=True)
    same = "the registered graph, byte for byte" if found.same_graph else "another file than the registered graph"
    for name, what in (
        ("rows", f"{parity.rows:,}"),
        ("decisions changed", f"{mark(parity.held)} {parity.changed} ({parity.share:.2%}, at most {parity.limit:.2%})"),
        ("largest difference", f"{parity.largest_difference:.3g} (golden requests: {parity.tolerance:.3g})"),
        ("latency", f"{parity.latency_ms:.3g} ms a request, median"),
        ("graph", f"{found.graph_bytes / 1e6:.2f} MB, {same}"),
        ("bundle", str(found.bundle)),
    ):
        click.echo(f"  {name:<20}{what}")
    if found.to is not None:
        click.echo(f"wrote {found.to}; serve it anywhere:  tidemill serve {found.to}", err=True)
