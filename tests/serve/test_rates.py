"""Rates: what passes, when the next one may, and one count for several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import InputError
from tidemill.serve.rates import Meter, Rate, parse_rate, shared_cell

_OTHER = """
import sys, pathlib
from tidemill.serve.rates import Meter, Rate, shared_cell
meter = Meter(Rate(100, 3600.0), shared_cell(pathlib.Path(sys.argv[1]), "shop"))
print(sum(meter.take() == 0 for _ in range(200)))
"""


@pytest.mark.parametrize(("text", "rate"), [("100/s", Rate(100, 1)), ("6/min", Rate(6, 60)), ("5/h", Rate(5, 3600))])
def test_a_rate_is_read_and_written(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate
    assert str(rate) == text


@pytest.mark.parametrize("text", ["", "0/s", "-1/s", "1.5/s", "10", "10/day", "1e9/s", "9999999999/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_rate(text)


def test_all_may_come_at_once_and_the_next_waits() -> None:
    meter = Meter(Rate(6, 60.0))

    assert [meter.take(1000.0) for _ in range(8)] == [0, 0, 0, 0, 0, 0, 10, 10]
    assert meter.take(1009.0) == 1
    assert meter.take(1010.0) == 0
    assert meter.take(1010.0) == 10


def test_what_is_refused_is_not_counted() -> None:
    meter = Meter(Rate(1, 1.0))
    assert meter.take(1000.0) == 0
    assert all(meter.take(1000.5) for _ in range(1000))
    assert meter.take(1001.0) == 0


@given(st.integers(1, 50), st.lists(st.floats(0, 0.5), min_size=1, max_size=300))
def test_never_more_than_twice_the_rate_in_any_of_its_spans(requests: int, pauses: list[float]) -> None:
    meter, now, passed = Meter(Rate(requests, 1.0)), 100.0, []
    for pause in pauses:
        now += pause
        if not meter.take(now):
            passed.append(now)

    for start in passed:
        assert sum(start <= each < start + 1.0 for each in passed) <= 2 * requests


@given(st.floats(0, 1e6), st.integers(1, 100))
def test_who_waits_as_told_may_pass(start: float, requests: int) -> None:
    meter, now = Meter(Rate(requests, 60.0)), 1e6 + start
    while not (wait := meter.take(now)):
        pass
    assert meter.take(now + wait) == 0


def test_processes_that_share_a_cell_have_one_rate(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _OTHER, str(tmp_path)]
    passed = [int(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout) for _ in range(3)]

    assert 100 <= sum(passed) <= 101  # an hour's hundred, and perhaps what the seconds of the test allow
    assert passed[0] >= 100


def test_a_cell_with_an_absurd_number_locks_nobody_out(tmp_path: Path) -> None:
    cell = shared_cell(tmp_path, "shop")
    cell[0] = 1e9
    assert Meter(Rate(10, 1.0), cell).take(50.0) == 0
