"""Renders an error for the terminal and ends the process: the only place that does."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import NoReturn

import click

from tidemill.errors import TidemillError, from_message, from_os_error

_EXTRAS = {
    "train": ("torch", "lightning", "mlflow", "dvc", "hydra", "omegaconf", "pandas", "duckdb", "sklearn", "xgboost",
              "transformers", "sqlalchemy", "onnx", "skl2onnx", "onnxmltools", "matplotlib", "jinja2", "skops",
              "torchmetrics", "safetensors", "scipy", "psutil", "yaml"),
    "parquet": ("pyarrow",),
    "text": ("tokenizers",),
}  # fmt: skip


def exit_with(error: BaseException) -> NoReturn:
    """Print `error` as one message with its remedy on standard error, and exit with its code."""
    if isinstance(error, SystemExit):
        raise error
    if "--traceback" in sys.argv or os.environ.get("TIDEMILL_TRACEBACK"):
        sys.stderr.write("".join(traceback.format_exception(error)))
    if isinstance(error, click.exceptions.Exit):
        sys.exit(error.exit_code)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        _print("interrupted", "the same command goes on from here, or starts anew; nothing is half written")
        sys.exit(128 + signal.SIGINT)
    if isinstance(error, click.ClickException):
        hint = ""
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f"see  {error.ctx.command_path} --help"
        _print(error.format_message().rstrip("."), hint)
        sys.exit(2)
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    known = _known(error)
    if known is not None:
        _print(known.headline, known.remedy)
        sys.exit(known.exit_code)
    _print(
        f"unexpected: {type(error).__name__}: {str(error).strip() or 'no message'}",
        "this is a bug in Tidemill; run  tidemill --traceback …  and report what it prints",
    )
    sys.exit(1)


def _known(error: BaseException) -> TidemillError | None:
    if isinstance(error, TidemillError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name:
        from tidemill.errors import MissingExtraError

        for extra, modules in _EXTRAS.items():
            if error.name.split(".")[0] in modules:
                return MissingExtraError("this command", extra)
    if isinstance(error, OSError):
        return from_os_error(error, "working")
    seen: BaseException | None = error
    while seen is not None:  # libraries wrap a full disk or a locked database in errors of their own
        if isinstance(seen, OSError) and seen.errno is not None:
            return from_os_error(seen, "working")
        if (said := from_message(str(seen))) is not None:
            return said
        seen = seen.__cause__ or seen.__context__
    return None


def _print(headline: str, remedy: str) -> None:
    from tidemill.serve import logs

    if logs.form() == "json":  # of a server whose standard error a collector reads
        logs.say("; ".join(filter(None, (headline, remedy.strip()))), level="error")
        return
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(headline, err=True)
    if remedy:
        click.echo(f"       {remedy}", err=True)
