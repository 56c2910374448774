"""What the words of a command line say: the script, and its arguments as parameters."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

_PYTHON = re.compile(r"(python|pypy)[\d.]*(\.exe)?")
_TAKES_VALUE = ("-W", "-X", "--check-hash-based-pycs")  # options of Python itself
_PAIR = re.compile(r"\+{0,2}([A-Za-z_][\w./@-]*)=(.*)", re.DOTALL)
_NUMBER = re.compile(r"-(\d|\.\d)")
_MOST = 200


class Script(NamedTuple):
    """`name` for people, and the words after the script."""

    name: str
    arguments: tuple[str, ...]


def script_of(command: Sequence[str]) -> Script:
    """The script of `python [options] train.py …`, `python -m module …`, or of any other command its first word."""
    if not _PYTHON.fullmatch(os.path.basename(command[0])):
        return Script(os.path.basename(command[0]), tuple(command[1:]))
    words = list(command[1:])
    while words:
        word = words.pop(0)
        if word == "-m" and words:
            return Script(words[0], tuple(words[1:]))
        if word.startswith("-m") and len(word) > 2:
            return Script(word[2:], tuple(words))
        if word.startswith("-c"):
            return Script("-c", tuple(words[1:] if word == "-c" else words))
        if word in _TAKES_VALUE and words:
            words.pop(0)
        elif not word.startswith("-") or word == "-":
            return Script(os.path.basename(word), tuple(words))
    return Script(os.path.basename(command[0]), ())


def parameters(arguments: Sequence[str]) -> dict[str, str]:
    """`--lr 0.1`, `--lr=0.1`, `-n 3`, `key=value` and flags by their names; what has none as `arg1`, `arg2`, …

    A word that follows an option is taken for its value unless it is an option itself; a repeated option's values
    stand together.
    """
    found: dict[str, str] = {}
    waiting, alone = "", 0
    for word in arguments:
        option = word.startswith("-") and len(word) > 1 and word != "--" and not _NUMBER.match(word)
        if waiting and not option and word != "--":
            _add(found, waiting, word)
            waiting = ""
            continue
        if waiting:
            _add(found, waiting, "true")
            waiting = ""
        if option:
            name, equals, value = word.lstrip("-").partition("=")
            if equals:
                _add(found, name, value)
            else:
                waiting = name
        elif (pair := _PAIR.fullmatch(word)) is not None:
            _add(found, pair[1], pair[2])
        elif word != "--":
            alone += 1
            _add(found, f"arg{alone}", word)
    if waiting:
        _add(found, waiting, "true")
    return dict(list(found.items())[:_MOST])


def _add(found: dict[str, str], name: str, value: str) -> None:
    """MLflow's names allow letters, digits, and `_-./ :`."""
    name = re.sub(r"[^\w./ :-]", "_", name)[:200] or "_"
    found[name] = f"{found[name]} {value}" if name in found else value
