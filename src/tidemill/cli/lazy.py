"""Command groups whose commands are the modules and packages of a folder, imported only when called."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from tidemill.errors import nearest


class LazyGroup(click.Group):
    """Lists commands by file name, with the first line of each file's docstring, without importing any.

    `package` is the dotted name of the package that holds them and `folder` where it lies; `order` are the names that
    come first. Each module has its command as `command`.
    """

    def __init__(
        self, *args: Any, package: str = "", folder: Path = Path(), order: Sequence[str] = (), **named: Any
    ) -> None:
        super().__init__(*args, **named)
        self._package, self._folder, self._order = package, folder, order

    def list_commands(self, ctx: click.Context) -> list[str]:
        modules = {path.stem for path in self._folder.glob("[a-z]*.py")}
        packages = {path.parent.name for path in self._folder.glob("[a-z]*/__init__.py")}
        found = modules | packages
        return [name for name in self._order if name in found] + sorted(found.difference(self._order))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = import_module(f"{self._package}.{cmd_name}").command
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
            formatter.write_dl([(name, self._summary(name)) for name in self.list_commands(ctx)])

    def _summary(self, command: str) -> str:
        file = self._folder / command / "__init__.py"
        source = (file if file.is_file() else self._folder / f"{command}.py").read_text(encoding="utf-8")
        return (ast.get_docstring(ast.parse(source)) or "").split("\n", 1)[0].rstrip(".")
