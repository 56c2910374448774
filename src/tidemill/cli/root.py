"""The command group: its commands are the modules of `tidemill.cli.commands`, imported only when called."""

from __future__ import annotations

from pathlib import Path

import click

from tidemill import __version__
from tidemill.cli.lazy import LazyGroup

_COMMANDS = Path(__file__).parent / "commands"
_ORDER = (
    "init", "data", "train", "tune", "run", "reproduce", "pipeline", "evaluate", "export", "models", "serve", "tokens",
    "predict", "feedback", "monitor", "retrain", "trace", "ui", "sync", "demo", "doctor", "completion",
)  # fmt: skip


@click.group(
    cls=LazyGroup,
    package="tidemill.cli.commands",
    folder=_COMMANDS,
    order=_ORDER,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 the work failed, 2 the input is wrong. A MODEL is name@alias or name/version.",
)
@click.version_option(__version__, prog_name="tidemill")
@click.option("--traceback", is_flag=True, help="Show the whole traceback of an error.")
def tidemill(traceback: bool) -> None:
    """Keep a machine-learning model alive: data, training, registry, serving, monitoring, retraining.

    \b
    Start here:
      tidemill init digits --task image && cd digits
      tidemill train
      tidemill models promote digits 1
      tidemill serve digits@champion
    """
