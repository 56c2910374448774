"""What is compared, and what is taken for the cause."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tidemill.domain.chain import Link, next_link
from tidemill.domain.run import Environment
from tidemill.stages.reproduce import (
    Preparation,
    comparable,
    differing_figures,
    differing_link,
    environment_changes,
    judge,
    likely_cause,
)


def chain(*weights: bytes) -> list[Link]:
    links: list[Link] = []
    for number, each in enumerate(weights, 1):
        links.append(next_link(links[-1] if links else None, number * 10, [each]))
    return links


def test_while_it_trains_what_is_to_come_is_not_missed() -> None:
    recorded = chain(b"a", b"b", b"c")
    assert differing_link(recorded, recorded[:2], ended=False) is None
    missing = differing_link(recorded, recorded[:2], ended=True)
    assert missing is not None
    assert missing.step == 30


def test_the_first_step_that_differs_and_the_last_that_does_not() -> None:
    prepared = Preparation("r", "s")
    verdict = judge(prepared, chain(b"a", b"b", b"c"), chain(b"a", b"x", b"c"), metrics=(), files=(), compared=0)
    assert (verdict.identical, verdict.step, verdict.after) == (False, 20, 10)
    same = judge(prepared, chain(b"a"), chain(b"a"), metrics=(), files=(), compared=5)
    assert (same.identical, same.links, same.compared, same.cause) == (True, 1, 5, "")


def test_what_computes_comes_first() -> None:
    one = Environment("3.11.2", "linux-x86_64", {"a-tool": "1", "numpy": "2.0", "Torch": "2.12", "gone": "1"})
    other = replace(one, python="3.12.0", packages={"a-tool": "2", "numpy": "2.4", "torch": "2.13"})
    changes = environment_changes(one, other)
    assert [each.name for each in changes] == ["python", "torch", "numpy", "a-tool", "gone"]
    assert [each.matters for each in changes] == [True, True, True, False, False]
    assert changes[-1].present == ""


def test_the_strongest_cause_is_named() -> None:
    prepared = Preparation("r", "s", threads=(4, 2), cores=(4, 4), deterministic=False, code=("x.py",), data="gone")
    assert likely_cause(prepared)[0] == "data"
    prepared = replace(prepared, data="")
    assert likely_cause(prepared) == ("code", "x.py")
    prepared = replace(prepared, code=())
    assert likely_cause(prepared) == ("environment", "4 threads computed, and here it is 2")
    prepared = replace(prepared, threads=(2, 2))
    assert likely_cause(prepared) == ("nondeterminism", "trainer.deterministic is false")
    assert "GPU" in likely_cause(replace(prepared, device="a GPU"))[1]


def test_a_figure_is_the_same_or_it_is_not() -> None:
    one = {("loss", 1): 0.1 + 0.2, ("nan", 1): math.nan, ("gone", 2): 1.0}
    assert differing_figures(one, dict(one)) == []
    assert differing_figures(one, {("loss", 1): 0.3, ("nan", 1): math.nan}) == [
        "loss at 1: 0.30000000000000004 -> 0.3",
        "gone at 2: 1.0 -> none",
    ]


@pytest.mark.parametrize("name", ["epoch_seconds", "system/cpu_utilization_percentage", "images_per_second"])
def test_the_clock_is_not_compared(name: str) -> None:
    assert not comparable(name)
    assert comparable("val_loss")
