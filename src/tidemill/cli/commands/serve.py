"""Serve models over HTTP; every answer is logged."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

import click


class _Serve(click.Command):
    """Sees to the form of standard error first, so that what is wrong with the arguments is said in it too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As any command."""
        if "--log-format=json" in args or ("--log-format", "json") in pairwise(args):
            from tidemill.serve import logs

            logs.use("json")
        return super().parse_args(ctx, args)


@click.command(cls=_Serve, epilog="Example: tidemill serve digits@champion --port 8080")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; beyond loopback needs a token."
)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File with a token that is good for everything; see also: tidemill tokens.",
)
@click.option("--log", type=click.Path(path_type=Path), help="Folder of the prediction log.")
@click.option(
    "--when-log-fails",
    default="refuse",
    show_default=True,
    type=click.Choice(["refuse", "answer"]),
    help="Whether to answer what the prediction log does not take; it is counted then.",
)
@click.option("--access-log", is_flag=True, help="A line of JSON for each request, on standard error.")
@click.option(
    "--log-format",
    default="text",
    show_default=True,
    type=click.Choice(["text", "json"]),
    help="Form of standard error; json has the field names of the Elastic Common Schema.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate in PEM, to answer over HTTPS.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="The certificate's key in PEM, without a password.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that answer.")
@click.option(
    "--ui",
    default="page",
    show_default=True,
    type=click.Choice(["page", "gradio", "none"]),
    help="The page at /ui; gradio makes it in a process of its own, and needs tidemill[gradio].",
)
@click.option("--ui-socket", type=click.Path(path_type=Path), hidden=True)
@click.option("--worker", hidden=True)
@click.option("--until-stdin-closes", is_flag=True, hidden=True)
def command(
    models: tuple[str, ...],
    host: str,
    port: int,
    token_file: Path | None,
    log: Path | None,
    access_log: bool,
    when_log_fails: Literal["refuse", "answer"],
    log_format: Literal["text", "json"],
    tls_cert: Path | None,
    tls_key: Path | None,
    workers: int,
    ui: Literal["page", "gradio", "none"],
    ui_socket: Path | None,
    worker: str | None,
    until_stdin_closes: bool,
) -> None:
    """Serve models over HTTP; every answer is logged.

    A MODEL is name@alias, which follows promotions while it runs; name/version; or the directory of a bundle.
    SIGTERM and Ctrl-C answer what was taken, seal the log and exit with 0.
    """
    from tidemill.errors import StateError
    from tidemill.project.layout import Layout, find_project
    from tidemill.project.serving import read_token, serve

    layout: Layout | None
    try:
        layout = find_project()
    except StateError:
        if not all(Path(model).is_dir() for model in models):
            raise
        layout = None
    serve(
        layout,
        models,
        host=host,
        port=port,
        token=read_token(token_file),
        log=log,
        access_log=access_log,
        answer_unlogged=when_log_fails == "answer",
        log_format=log_format,
        tls_cert=tls_cert,
        tls_key=tls_key,
        workers=workers,
        worker=worker,
        ui=ui,
        ui_socket=ui_socket,
        until_stdin_closes=until_stdin_closes,
    )
