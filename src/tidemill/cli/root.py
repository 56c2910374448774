"""The command group: its commands are the modules of `tidemill.cli.commands`, imported only when called."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import click

from tidemill import __version__
from tidemill.errors import nearest

_COMMANDS = Path(__file__).parent / "commands"
_ORDER = (
    "init", "data", "train", "evaluate", "export", "models", "serve", "predict",
    "feedback", "monitor", "retrain", "trace", "ui", "demo", "doctor", "completion",
)  # fmt: skip


class LazyGroup(click.Group):
    """Lists commands by file name, with the first line of each file's docstring, without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        found = {path.stem for path in _COMMANDS.glob("[a-z]*.py")}
        return [name for name in _ORDER if name in found] + sorted(found.difference(_ORDER))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = import_module(f"tidemill.cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            hint = nearest(args[0], self.list_commands(ctx), kind="commands")
            raise click.UsageError(f"no command {args[0]!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in self.list_commands(ctx)])


def _summary(command: str) -> str:
    source = (_COMMANDS / f"{command}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n", 1)[0].rstrip(".")


@click.group(
    cls=LazyGroup,
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
