"""Print the shell's completion script.

eval "$(tidemill completion bash)"
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(epilog='Example: eval "$(tidemill completion bash)", in ~/.bashrc')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for SHELL."""
    from tidemill.cli.root import tidemill

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(tidemill, {}, "tidemill", "_TIDEMILL_COMPLETE").source())
