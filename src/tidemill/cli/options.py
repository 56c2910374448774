"""Options and arguments that several commands share, and how an answer is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from tidemill.domain.record import to_plain

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """`--json`: the answer as one JSON document on standard output, everything else on standard error."""
    return click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")(function)


def print_json(value: Any) -> None:
    """`value`, a record or plain values, as indented JSON on standard output."""
    click.echo(json.dumps(to_plain(value), indent=2, ensure_ascii=False, default=str))
