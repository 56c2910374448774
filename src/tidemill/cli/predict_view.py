"""How answers of a batch prediction are printed: a table on a terminal, lines or JSON as they come elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tidemill.cli.options import answers_to
from tidemill.cli.tables import print_table
from tidemill.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.ports import Reporter
    from tidemill.project.predicting import Job, Named

_NAMED = 10  # problems that are named
_SHOWN = 50  # rows that a terminal shows
_WIDTH, _GIVEN = 60, 4  # characters of a cell and columns of what was given that a terminal has room for


@dataclass(slots=True)
class Problems:
    """How many inputs have no answer, and the first ten of them."""

    number: int = 0
    named: list[Named] = field(default_factory=list)

    def add(self, table: pa.Table) -> None:
        from tidemill.project.predicting import Named
        from tidemill.project.predicting.job import PROBLEM, WHERE

        wrong = table.filter(table[PROBLEM].is_valid())
        first = wrong.slice(0, _NAMED - len(self.named)).to_pylist()
        self.named += [Named(row[WHERE], row[PROBLEM]) for row in first]
        self.number += wrong.num_rows


def print_answers(job: Job, annotate: Path | None, reporter: Reporter, *, as_json: bool) -> Problems:
    """Print the answers as they come; what had none. Raises InputError when there was not one."""
    from tidemill.project.predicting.job import WHERE
    from tidemill.project.predicting.write import annotator_of

    annotator = annotator_of(job, annotate)
    problems, rows = Problems(), 0
    printer = _Json() if as_json else _Table(job) if sys.stdout.isatty() else _Lines(job)
    held: list[Any] = []  # until there is an answer: where there is none, nothing is printed
    for table in job.tables(0, reporter, annotator.look if annotator else None):
        rows += table.num_rows
        problems.add(table)
        held.append(table.drop_columns([WHERE]))
        if problems.number < rows:
            for each in held:
                printer.print(each)
            held.clear()
    if problems.number == rows:
        name, problem = problems.named[0]
        raise InputError(f"nothing could be answered; the first, {name}: {problem}", "check what was given")
    printer.end()
    return problems


def print_problems(named: Sequence[Named], number: int) -> None:
    """Name the inputs without an answer on standard error."""
    for name, problem in named:
        click.secho(f"no answer for {name}: {problem}", err=True, fg="yellow")
    if number > len(named):
        click.secho(f"… and for {number - len(named):,} more", err=True, fg="yellow")


class _Json:
    """A list of objects, each written when its turn comes."""

    def __init__(self) -> None:
        self._file = answers_to()
        self._before = "["

    def print(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            if row["problem"] is None:
                del row["problem"]
            click.echo(f"{self._before}\n  {json.dumps(row, ensure_ascii=False, default=str)}", self._file, nl=False)
            self._before = ","

    def end(self) -> None:
        click.echo("\n]", self._file)


class _Rows:
    """What was given, the answer, and its score; all scores are in --out and --json."""

    def __init__(self, job: Job, given: int | None, width: int | None) -> None:
        names = job.schema.names
        self._given = names[: names.index("output")][:given]
        self._scores = [name for name in names if name.startswith("score_") and name in names[names.index("output") :]]
        self._width = width
        self.columns = (*self._given, "output", *(["score"] if self._scores else []))

    def rows(self, table: pa.Table) -> list[tuple[str, ...]]:
        made = []
        for row in table.select([*self._given, "output", *self._scores]).to_pylist():
            best = max((row[name] for name in self._scores if row[name] is not None), default=None)
            output = "" if row["output"] is None else str(row["output"])
            score = [f"{best:.4f}" if best is not None else ""] if self._scores else []
            made.append((*(self._cell(row[name]) for name in self._given), output, *score))
        return made

    def _cell(self, value: object) -> str:
        text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        flat = " ".join(text.split())
        return flat if self._width is None or len(flat) <= self._width else flat[: self._width - 1] + "…"


class _Lines(_Rows):
    """Tab-separated lines."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, None, None)
        self._begun = False

    def print(self, table: pa.Table) -> None:
        if not self._begun:
            click.echo("\t".join(self.columns))
            self._begun = True
        for row in self.rows(table):
            click.echo("\t".join(row))

    def end(self) -> None:
        """Everything is printed."""


class _Table(_Rows):
    """The first rows as a table."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, _GIVEN, _WIDTH)
        self._kept: list[tuple[str, ...]] = []
        self._more = 0

    def print(self, table: pa.Table) -> None:
        room = _SHOWN - len(self._kept)
        self._kept += self.rows(table.slice(0, room))
        self._more += max(0, table.num_rows - room)

    def end(self) -> None:
        print_table(self.columns, self._kept, right=("score",))
        if self._more:
            click.echo(f"… and {self._more:,} more: --out FILE takes them all")
