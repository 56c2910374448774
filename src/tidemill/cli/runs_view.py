"""How a captured run looks on a terminal and in a pipe."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import click

from tidemill.cli.options import print_json
from tidemill.cli.tables import print_table
from tidemill.project import captured, capturing
from tidemill.stages.capture.record import File

_SHOWN = 12  # lines of each part; all are in --json
_LAST_BYTES, _LAST_SHOWN = 8192, 300
_MARKS = {"changed": "changed while the run went on", "gone": "gone before it was digested", "unreadable": "unreadable"}


def show(run: str, as_json: bool) -> None:
    """The record as a tree."""
    layout, _ = capturing.place()
    found = captured.show(layout, run)
    if as_json:
        print_json(found)
        return
    about = found.captured
    click.secho(shlex.join(about.command), bold=True)
    ended = f"killed by signal {about.signal}" if about.signal else f"exit {about.code}"
    click.echo(f"run {found.run}, {ended} after {about.seconds:.1f} s, {about.started} {_noun(about.started)}")
    if about.code:
        click.secho(f"  {_last_line(Path(found.artifacts))}", fg="red")
    _part("parameters", _columns(found.params))
    figures = {name: value for name, value in found.metrics.items() if not name.startswith("system/")}
    _part("figures", _columns({name: f"{value:.6g}" for name, value in figures.items()}))
    _part("read", _lines(about.reads))
    _part("wrote", _lines(about.writes))
    _part("code", _lines(about.sources))
    commit = about.commit[:12] if about.commit else "no commit"
    click.secho("made of", bold=True)
    dirty = f", with changes {about.dirty.short}" if about.dirty else ""
    click.echo(f"  {commit}{dirty} · Python {about.python or '?'} · {len(about.packages)} packages")
    click.echo(f"  seen by {' and '.join(about.seen_by)}" + (f"; {about.lost} notes were lost" if about.lost else ""))
    for note in about.notes:
        click.secho(f"  {note}", fg="yellow")
    click.secho(f"  {found.artifacts}", dim=True)


def who(path: str, as_json: bool) -> None:
    """A line for each run that touched the content."""
    layout, _ = capturing.place()
    found = captured.who(layout, Path(path))
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no run read or wrote this content")
    else:
        print_table(
            ("when", "run", "name", "how", "path"),
            [(_when(each.at), each.run[:8], each.name, each.how, each.path) for each in found],
        )


def _when(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000):%Y-%m-%d %H:%M:%S}"


def _part(title: str, lines: Iterable[str]) -> None:
    shown = list(lines)
    if not shown:
        return
    click.secho(title, bold=True)
    for line in shown[:_SHOWN]:
        click.echo(f"  {line}")
    if len(shown) > _SHOWN:
        click.secho(f"  … and {len(shown) - _SHOWN} more: --json", dim=True)


def _noun(processes: int) -> str:
    return "process" if processes == 1 else "processes"


def _columns(values: Mapping[str, str]) -> list[str]:
    """Names and values, one below the other however long the names are."""
    width = max([28, *(len(name) for name in list(values)[:_SHOWN])])
    return [f"{name:<{width}} {value}" for name, value in values.items()]


def _last_line(artifacts: Path) -> str:
    """The last thing that the script said, on its standard error where that was apart."""
    for name in ("stderr.txt", "output.txt"):
        with contextlib.suppress(OSError), (artifacts / "output" / name).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
            if said := [line.strip() for line in lines if line.strip()]:
                return said[-1][:_LAST_SHOWN]
    return "it said nothing on its standard error"


def _lines(files: Iterable[File]) -> list[str]:
    return [_line(file) for file in files]


def _line(file: File) -> str:
    digest = file.digest.short if file.digest else _MARKS.get(file.state, "")
    many = f"  {file.files:,} files" if file.files > 1 else ""
    data = f"  {file.data}" if file.data else ""
    return f"{digest:<12}  {_size(file.bytes):>9}  {file.path}{many}{data}"


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError
