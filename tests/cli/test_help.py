"""The command line's face: help, light imports, completion."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tidemill.cli.root import tidemill

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "pandas", "mlflow", "dvc", "hydra", "sklearn", "lightning", "duckdb", "onnxruntime", "numpy")


def _commands() -> list[tuple[str, click.Command]]:
    context = tidemill.make_context("tidemill", [], resilient_parsing=True)
    found: list[tuple[str, click.Command]] = []
    for name in tidemill.list_commands(context):
        command = tidemill.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            inner = click.Context(command, info_name=name, parent=context)
            children = {child: command.get_command(inner, child) for child in command.list_commands(inner)}
            found += [(f"{name} {child}", each) for child, each in children.items() if each is not None]
    return found


def _modules_after(*args: str) -> set[str]:
    code = (
        "import sys, json\n"
        "from tidemill.cli.root import tidemill\n"
        f"tidemill.main(args={list(args)!r}, prog_name='tidemill', standalone_mode=False)\n"
        "print('\\n' + json.dumps(sorted({m.split('.')[0] for m in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_imports_nothing_heavy() -> None:
    assert not _modules_after("--help") & set(HEAVY)


@pytest.mark.parametrize("name", [name for name, command in _commands() if not isinstance(command, click.Group)])
def test_the_help_of_a_command_imports_nothing_heavy(name: str) -> None:
    assert not _modules_after(*name.split(), "--help") & set(HEAVY)


@pytest.mark.parametrize(("name", "command"), _commands(), ids=[name for name, _ in _commands()])
def test_every_command_says_what_it_does_and_shows_an_example(name: str, command: click.Command) -> None:
    assert command.help or command.short_help
    assert isinstance(command, click.Group) or "Example" in (command.epilog or ""), f"tidemill {name} has no example"


def test_the_issue_forms_are_there() -> None:
    names = {name for name, _ in _commands()}
    assert names >= {
        "init", "data add", "data list", "data diff", "data push", "data pull", "train", "evaluate", "export",
        "models list", "models show", "models promote", "models rollback", "models history", "serve", "predict",
        "feedback", "monitor", "retrain", "trace", "ui", "demo", "doctor", "completion",
    }  # fmt: skip


def test_docs_hold_the_help() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/cli_reference.py")], capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs/cli.md").read_text() == done.stdout, "run  python scripts/cli_reference.py > docs/cli.md"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tidemill", "completion", shell], capture_output=True, text=True, check=True
    )
    assert "_TIDEMILL_COMPLETE" in done.stdout
