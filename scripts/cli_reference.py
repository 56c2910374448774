"""Print docs/cli.md from the commands' own help:  .venv/bin/python scripts/cli_reference.py > docs/cli.md"""

from __future__ import annotations

from collections.abc import Iterator

import click

from tidemill.cli.root import tidemill

HEAD = """# The command line

Made from the commands' own help by `scripts/cli_reference.py`; a test holds the two together.

Exit codes of every command: 0 done, 1 the work failed, 2 the input is wrong, 130 interrupted. Answers go to standard
output, progress and errors to standard error. `tidemill --traceback COMMAND …` shows the whole traceback of an error.
"""


def walk(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Each command's path and help text, groups before their commands."""
    yield context.command_path, context.get_help()
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from walk(child, child.make_context(name, [], parent=context, resilient_parsing=True))


def reference() -> str:
    """The whole document."""
    context = tidemill.make_context("tidemill", [], resilient_parsing=True, terminal_width=100)
    parts = [f"## {path}\n\n```text\n{text}\n```\n" for path, text in walk(tidemill, context)]
    return HEAD + "\n" + "\n".join(parts)


if __name__ == "__main__":
    print(reference(), end="")
