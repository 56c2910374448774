"""Print ready lines that use MODEL elsewhere."""

from __future__ import annotations

import click

from tidemill.cli.options import json_option, print_json

_KINDS = ("python", "curl", "pandas", "spark", "onnxruntime", "mlflow")


@click.command(epilog="Example: tidemill models snippet digits@champion --for curl | sh")
@click.argument("model")
@click.option("--for", "kind", type=click.Choice(_KINDS), default="python", show_default=True, help="What uses it.")
@click.option("--url", help="Where it is served; by default where this project's server runs, else port 8080 here.")
@json_option
def command(model: str, kind: str, url: str | None, as_json: bool) -> None:
    """Print ready lines that have MODEL answer one of its own golden requests: in Python, by curl, in Spark, …

    MODEL is name@alias, name/version, or the directory of a bundle. The lines run in the folder that they are
    printed in.
    """
    from tidemill.errors import StateError
    from tidemill.project.layout import find_project
    from tidemill.project.registry import is_bundle
    from tidemill.project.snippets import snippet

    try:
        layout = find_project()
    except StateError:
        if not is_bundle(model):
            raise
        layout = None
    lines = snippet(layout, model, kind, url=url)
    if as_json:
        print_json({"model": model, "for": kind, "lines": lines})
    else:
        click.echo(lines, nl=False)
