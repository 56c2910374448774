"""Conditions over named values, as people write them: `metrics.accuracy > 0.9 and tags.family = 'xgboost'`.

    condition   := conjunction ("or" conjunction)*
    conjunction := term ("and" term)*
    term        := "not" term | "(" condition ")" | NAME test
    test        := ("=" | "!=" | "<" | "<=" | ">" | ">=") VALUE
                 | ["not"] ("like" | "ilike") 'pattern'     % stands for any text, _ for one character
                 | ["not"] "in" "(" VALUE ("," VALUE)* ")"

A NAME has parts joined by dots; parts in `backquotes` may hold anything. A VALUE is a number or a 'text'. What has no
value under a name passes no test of it. Nothing of what is written is ever evaluated as code.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from tidemill.errors import InputError, nearest

Value = float | str
Test = Callable[[Mapping[str, Any]], bool]
_LONGEST = 4000
_DEEPEST = 50
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, "<>": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
      | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<name>(?:[^\W\d]\w*|`[^`]+`)(?:\.(?:\w+|`[^`]+`))*)
      | (?P<mark><=|>=|!=|<>|==|[=<>(),])
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Where:
    """A condition that was read: the names it asks for, and its test of a row of values by name."""

    text: str
    names: tuple[str, ...]
    matches: Test

    def check(self, known: Iterable[str], *, kind: str = "names") -> None:
        """Raises InputError, naming the nearest, for a name that is not among `known`."""
        there = set(known)
        for name in self.names:
            check_name(name, there, kind=kind)


def check_name(name: str, known: Iterable[str], *, kind: str = "names") -> None:
    """Raises InputError, naming the nearest, for a name that is not among `known`."""
    there = set(known)
    if name not in there:
        section, dot, _ = name.rpartition(".")
        beside = {each for each in there if dot and each.startswith(f"{section}.")}
        raise InputError(f"there is no {name[:80]!r} here", nearest(name, beside or there, kind=kind))


def parse_where(text: str) -> Where:
    """Raises InputError that shows where `text` stops making sense."""
    if len(text) > _LONGEST:
        raise InputError(f"the condition is {len(text):,} characters long", f"at most {_LONGEST:,} are read")
    parser = _Parser(text)
    test = parser.condition(0)
    if parser.token.kind != "end":
        raise parser.wrong("and, or, or the end")
    return Where(text, tuple(dict.fromkeys(parser.names)), test)


class _Token(NamedTuple):
    kind: str  # number, text, name, mark, word (and, or, …), end
    text: str
    at: int


class _Parser:
    """Recursive descent over the grammar above; each rule gives a test of a row."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.names: list[str] = []
        self.token = self._read()

    def condition(self, depth: int) -> Test:
        if depth > _DEEPEST:
            raise InputError(f"the condition nests deeper than {_DEEPEST}", "write it flatter")
        parts = [self._conjunction(depth)]
        while self._taken("or"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def wrong(self, wanted: str) -> InputError:
        found = f"not {self.token.text[:40]!r}" if self.token.text else "and it ends"
        return InputError(
            f"the condition makes no sense at character {self.token.at + 1}: {wanted} is expected there, {found}",
            "write it as  metrics.accuracy > 0.9 and tags.family = 'xgboost'",
        )

    def _conjunction(self, depth: int) -> Test:
        parts = [self._term(depth)]
        while self._taken("and"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def _term(self, depth: int) -> Test:
        if self._taken("not"):
            if depth > _DEEPEST:
                raise InputError(f"the condition nests deeper than {_DEEPEST}", "write it flatter")
            inner = self._term(depth + 1)
            return lambda row: not inner(row)
        if self._taken("("):
            inner = self.condition(depth + 1)
            self._expect(")")
            return inner
        if self.token.kind != "name":
            raise self.wrong("a name")
        name = self._next().text.replace("`", "")
        self.names.append(name)
        return self._test(name)

    def _test(self, name: str) -> Test:
        if self.token.text in _ORDERS and self.token.kind == "mark":
            return _compared(name, self._next().text, self._value())
        denied = self._taken("not")
        if self._taken("in"):
            found = self._in(name)
        elif self.token.kind == "word" and self.token.text in ("like", "ilike"):
            found = _like(name, self._next().text == "ilike", self._value())
        else:
            raise self.wrong("in or like" if denied else "a comparison")
        return (lambda row: row.get(name) is not None and not found(row)) if denied else found

    def _in(self, name: str) -> Test:
        self._expect("(")
        tests = [_compared(name, "=", self._value())]
        while self._taken(","):
            tests.append(_compared(name, "=", self._value()))
        self._expect(")")
        return lambda row: any(test(row) for test in tests)

    def _value(self) -> Value:
        if self.token.kind == "number":
            return float(self._next().text)
        if self.token.kind == "text":
            quoted = self._next().text
            return quoted[1:-1].replace(quoted[0] * 2, quoted[0])
        raise self.wrong("a number, or a text in quotes,")

    def _taken(self, text: str) -> bool:
        if self.token.kind in ("mark", "word") and self.token.text == text:
            self._next()
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._taken(mark):
            raise self.wrong(repr(mark))

    def _next(self) -> _Token:
        token, self.token = self.token, self._read()
        return token

    def _read(self) -> _Token:
        rest = self._text[self._at :]
        start = self._at + len(rest) - len(rest.lstrip())
        if not rest.strip():
            return _Token("end", "", len(self._text))
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            return _Token("unknown", self._text[start:].split(maxsplit=1)[0], start)
        self._at = found.end()
        kind = str(found.lastgroup)
        text = found[kind]
        if kind == "name" and text.lower() in ("and", "or", "not", "in", "like", "ilike"):
            return _Token("word", text.lower(), start)
        return _Token(kind, text, start)


def _compared(name: str, mark: str, value: Value) -> Test:
    holds = _ORDERS[mark]

    def test(row: Mapping[str, Any]) -> bool:
        found = row.get(name)
        if found is None or (isinstance(found, float) and math.isnan(found)):
            return False
        return bool(holds(*_alike(name, found, value)))

    return test


def _alike(name: str, found: Any, value: Value) -> tuple[Any, Any]:
    """Both as what `found` is; a text that holds a number is one beside a number. Raises InputError."""
    if isinstance(found, datetime):
        try:
            return found, datetime.fromisoformat(str(value)).astimezone()
        except (ValueError, OverflowError):
            raise InputError(f"{name} is a time, {value!r} is none", "write it as '2026-11-20T18:00'") from None
    if isinstance(found, bool | int | float):
        try:
            return float(found), {"true": 1.0, "false": 0.0}[value] if value in ("true", "false") else float(value)
        except ValueError:
            raise InputError(f"{name} is a number, {value!r} is none", f"write  {name} > 0.9") from None
    if isinstance(value, float):
        try:
            return float(found), value
        except ValueError:  # a text that is no number is none of them: unequal, and neither above nor below
            return math.nan, value
    return str(found), value


def _like(name: str, folded: bool, value: Value) -> Test:
    parts = ((".*" if each == "%" else "." if each == "_" else re.escape(each)) for each in str(value))
    pattern = re.compile("".join(parts).replace(".*.*", ".*"), re.DOTALL | (re.IGNORECASE if folded else 0))

    def test(row: Mapping[str, Any]) -> bool:
        found = row.get(name)
        return found is not None and pattern.fullmatch(str(found)) is not None

    return test
