"""Open the loop's page, and MLflow's beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tidemill.web.mlflow_ui import MlflowLink


@click.command(epilog="Example: tidemill ui --port 8090")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 8090, or a free one when that is taken.")
@click.option("--no-mlflow", is_flag=True, help="Do not start MLflow's own page.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the token that is asked of everybody; needed beyond loopback. Or set TIDEMILL_TOKEN.",
)
def command(host: str, port: int | None, no_mlflow: bool, token_file: Path | None) -> None:
    """Show the loop in the browser: what runs, who is champion, traffic, drift, evidence, lineage. Ctrl-C ends it."""
    from tidemill.project.layout import find_project, read_marker
    from tidemill.project.serving import read_token
    from tidemill.web.run import run

    layout = find_project()
    read_marker(layout)
    run(layout, host=host, port=port, mlflow=not no_mlflow, token=read_token(token_file), on_ready=_announce)


def _announce(address: str, mlflow: MlflowLink) -> None:
    """Two lines on standard output: where the page is, and where MLflow's will be."""
    click.echo(f"the loop   {address}")
    if mlflow.address:
        click.echo(f"MLflow     {mlflow.address}" + ("" if mlflow.state == "ready" else "  (ready in a few seconds)"))
    click.secho("Ctrl-C stops both" if mlflow.address else "Ctrl-C stops it", dim=True, err=True)
