"""Options and arguments that several commands share, and how an answer is printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, TextIO, TypeVar

import click

from tidemill.domain.record import to_plain

F = TypeVar("F", bound=Callable[..., Any])
_ANSWERS = f"{__name__}.answers"


def json_option(function: F) -> F:
    """`--json`: the answer as one JSON document on standard output, everything else on standard error."""
    told = "Answer with one JSON document."
    return click.option("--json", "as_json", is_flag=True, callback=_keep_free, help=told)(function)


def _keep_free(ctx: click.Context, parameter: click.Parameter, as_json: bool) -> bool:
    """Until the command ends, what a project's own code or a library prints goes to standard error."""
    if as_json:
        ctx.meta[_ANSWERS] = sys.stdout
        ctx.with_resource(redirect_stdout(sys.stderr))
    return as_json


def answers_to() -> TextIO | None:
    """The real standard output while `--json` keeps it free; None where it is not taken."""
    ctx = click.get_current_context(silent=True)
    return ctx.meta.get(_ANSWERS) if ctx is not None else None


def print_json(value: Any) -> None:
    """`value`, a record or plain values, as indented JSON on standard output."""
    click.echo(json.dumps(to_plain(value), indent=2, ensure_ascii=False, default=str), file=answers_to())
