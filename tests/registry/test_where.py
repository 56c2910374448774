"""The language of conditions: what it means, what it refuses, and that nothing of it is ever run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tidemill.domain.where import parse_where
from tidemill.errors import InputError

ROW = {
    "metrics.accuracy": 0.95,
    "tags.family": "xgboost",
    "tags.depth": "6",
    "tags.my-tag": "it's",
    "version": 3,
    "alias": None,
    "registered": datetime(2026, 11, 20, 12, tzinfo=UTC),
}


@pytest.mark.parametrize(
    "text",
    [
        "metrics.accuracy > 0.9 and tags.family = 'xgboost'",
        "metrics.accuracy >= 0.95 AND NOT metrics.accuracy < .95",
        'tags.family = "lasso" or version in (1, 2, 3)',
        "(version = 1 or version = 3) and tags.family != 'lasso'",
        "version = 1 and version = 3 or version == 3",
        "tags.family like 'xg%' and tags.family like '_gboost' and tags.family ilike 'XG%'",
        "tags.family not like 'XG%' and version not in (4, 5)",
        "tags.depth > 5.5 and tags.depth = 6",
        "tags.`my-tag` = 'it''s'",
        "version <> -1 and metrics.accuracy < 1e3",
        "registered > '2026-11-20' and registered < '2026-11-21T00:00+00:00'",
        "not alias = 'champion'",
    ],
)
def test_conditions_that_hold(text: str) -> None:
    assert parse_where(text).matches(ROW)
    assert not parse_where(f"not ({text})").matches(ROW)


@pytest.mark.parametrize("test", ["= 1", "!= 1", "like '%'", "not like '%'", "in (1)", "not in (1)", "> 0"])
def test_what_has_no_value_passes_no_test(test: str) -> None:
    assert not parse_where(f"alias {test}").matches(ROW)
    assert not parse_where(f"other {test}").matches(ROW)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 1), ("a", 2), ("a >", 4), ("a > b", 5), ("a = 1 b", 7), ("a = 'x", 5), ("(a = 1", 7), ("a in ()", 7),
        ("a ** 2", 3), ("__import__('os').system('x')", 11), ("a = 1 and", 10), ("a > 1.2.3", 5), ("a not 5", 7),
        ("a = 1; drop", 6), ("a in 1", 6), ("a.b. = 1", 4),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_shown_where(text: str, at: int) -> None:
    with pytest.raises(InputError, match=rf"at character {at}:"):
        parse_where(text)


@pytest.mark.parametrize("text", ["not " * 1000 + "a = 1", "(" * 900 + "a = 1" + ")" * 900, "a = 1 or " * 1000])
def test_what_is_too_deep_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"deeper than|characters long"):
        parse_where(text)


@pytest.mark.parametrize("text", ["version > 'many'", "registered > 'yesterday'", "metrics.accuracy = ''"])
def test_a_number_or_time_is_compared_with_one(text: str) -> None:
    with pytest.raises(InputError, match="is a"):
        parse_where(text).matches(ROW)


def test_unknown_names_say_the_nearest() -> None:
    with pytest.raises(InputError, match=r"metrics\.accurcy") as wrong:
        parse_where("metrics.accurcy > 1").check(ROW)
    assert wrong.value.remedy == "did you mean metrics.accuracy?"


PIECES = some.sampled_from([*"ab.`'\"()=<>,%_ 1-", "and ", "or ", "not ", "in "])


@given(some.text(max_size=40) | some.lists(PIECES).map("".join))
def test_any_text_is_a_condition_or_one_clear_error(text: str) -> None:
    try:
        parse_where(text).matches(ROW)
    except InputError as error:
        assert "\n" not in error.headline or "\n" in text
