"""Hydra's sweep grammar: as a grid of `-m`, and as the space of a search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tidemill.config.compose import compose
from tidemill.config.overrides import dimension_of, parsed, spelled
from tidemill.config.space import Choice, Dimension, Real, Whole, points
from tidemill.config.sweep import expand, sweep_params
from tidemill.errors import ConfigError, InputError

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, text: str) -> Path:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path

    return put


def values(argument: str) -> list[str]:
    return [row[0].partition("=")[2] for row in expand(None, [argument])]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("seed=1,2", ["1", "2"]),
        ("seed=5, 10, 25", ["5", "10", "25"]),
        ("seed=range(1,5)", ["1", "2", "3", "4"]),
        ("seed=range(3)", ["0", "1", "2"]),
        ("seed=range(1,10,4)", ["1", "5", "9"]),
        ("seed=range(5,1,-2)", ["5", "3"]),
        ("optimizer.lr=range(0,0.75,0.25)", ["0.0", "0.25", "0.5"]),
        ("seed=choice(3,1,2)", ["3", "1", "2"]),
        ("seed=sort(3,1,2)", ["1", "2", "3"]),
        ("seed=sort(3,1,2,reverse=true)", ["3", "2", "1"]),
        ("seed=tag(quick,choice(1,2))", ["1", "2"]),
        ("optimizer.lr=1e-3,0.1", ["0.001", "0.1"]),
        ("callbacks.checkpoint=true,false", ["True", "False"]),
        ("data.image={height: 8},{height: 16}", ["{height:8}", "{height:16}"]),
        ("paths.pretrained='a b','c,d'", ["'a b'", "'c,d'"]),
        ("model=alexnet,resnet18", ["alexnet", "resnet18"]),
        ("+seed=1,2", ["1", "2"]),
        ("optimizer.lr=interval(0,1)", ["0.0", "0.25", "0.5", "0.75", "1.0"]),
        ("optimizer.lr=tag(log,interval(1e-4,1))", ["0.0001", "0.001", "0.01", "0.1", "1.0"]),
        ("trainer.batch_size=interval(8,16)", ["8", "10", "12", "14", "16"]),
    ],
)
def test_a_grid_takes_each_form(argument: str, expected: list[str]) -> None:
    assert values(argument) == expected


def test_shuffle_keeps_the_values() -> None:
    assert sorted(values("seed=shuffle(range(1,9))"), key=int) == [str(number) for number in range(1, 9)]
    assert sorted(values("seed=shuffle(3,1,2)")) == ["1", "2", "3"]


def test_globs_pick_among_the_files_of_a_group(write: Write) -> None:
    conf = write("optimizer/slow.yaml", "name: sgd\n")
    assert [row[0] for row in expand(conf, ["optimizer=glob([s*,adam*],exclude=adamw)"])] == [
        "optimizer=adam", "optimizer=sgd", "optimizer=slow",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="picks among the files of a group"):
        expand(None, ["trainer.max_epochs=glob(*)"])
    with pytest.raises(InputError, match="no value at all"):
        expand(None, ["optimizer=glob(zzz*)"])


@pytest.mark.parametrize("argument", ["seed=range(5,1)", "seed=range(1,5,0)", "optimizer.lr=interval(3,1)",
                                      "optimizer.lr=tag(log,interval(0,1))"])  # fmt: skip
def test_what_holds_nothing_is_refused(argument: str) -> None:
    with pytest.raises(InputError):
        expand(None, [argument])


def test_the_files_of_the_first_source_give_nine_runs_and_more(write: Write) -> None:
    conf = write("config.yaml", "hydra:\n  sweeper:\n    params:\n      trainer.max_epochs: 5, 10, 25\n")
    assert [row[0] for row in expand(conf, [])] == [f"trainer.max_epochs={n}" for n in (5, 10, 25)]
    both = (
        "hydra:\n  sweeper:\n    params:\n      trainer.max_epochs: 5, 10, 25\n      optimizer.lr: 0.001, 0.01, 0.1\n"
    )
    rows = expand(write("config.yaml", both), [])
    assert len(rows) == 9
    assert rows[1] == ["trainer.max_epochs=5", "optimizer.lr=0.01"]
    whole = ("hydra:\n  sweeper:\n    params:\n      model: alexnet, small_cnn\n      trainer.max_epochs: range(1,10)\n"
             "      optimizer.lr: 0.001, 0.01, 0.1\n")  # fmt: skip
    rows = expand(write("config.yaml", whole), [])
    assert len(rows) == 2 * 9 * 3
    assert {row[0] for row in rows} == {"model=alexnet", "model=small_cnn"}
    assert compose(conf, rows[-1], name="x", task="image").trainer.max_epochs == 9


def test_an_experiment_may_hold_a_sweep_and_arguments_win(write: Write) -> None:
    conf = write("config.yaml", "hydra:\n  sweeper:\n    params:\n      seed: 1,2\n      optimizer: adam,sgd\n")
    write("experiment/wide.yaml", "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: range(1,5)\n")
    assert sweep_params(conf, ["experiment=wide"]) == ["seed=range(1,5)", "optimizer=adam,sgd"]
    assert len(expand(conf, ["experiment=wide"])) == 8
    assert len(expand(conf, ["experiment=wide", "++seed=7"])) == 2
    assert compose(conf, ["experiment=wide"], name="x", task="image").seed == 42
    write("config.yaml", "defaults:\n  - experiment: wide\n")
    assert len(expand(conf, [])) == 4
    assert len(expand(conf, ["~experiment"])) == 1


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("trainer.max_epochs=range(1,10)", Whole(1, 9)),
        ("trainer.max_epochs=range(1,10,3)", Whole(1, 7, 3)),
        ("trainer.max_epochs=interval(1,10)", Whole(1, 10)),
        ("trainer.batch_size=tag(log,interval(8,512))", Whole(8, 512, 1, True)),
        ("optimizer.lr=interval(0,1)", Real(0.0, 1.0)),
        ("optimizer.lr=tag(log,interval(1e-4,1e-1))", Real(1e-4, 1e-1, None, True)),
        ("optimizer.lr=range(0,0.75,0.25)", Real(0.0, 0.5, 0.25)),
        ("optimizer=adam,sgd", Choice(("adam", "sgd"))),
        ("optimizer=glob(adam*)", Choice(("adam", "adamw"))),
        ("callbacks.checkpoint=true,false", Choice((True, False))),
    ],
)
def test_a_space_takes_each_form(argument: str, expected: Dimension) -> None:
    assert dimension_of(parsed([argument])[0], None, "image") == expected


def test_points_stay_inside_and_hold_both_ends() -> None:
    assert points(Whole(1, 100, 1, True), 5) == [1, 3, 10, 32, 100]
    assert points(Real(0.0, 1.0), 3) == [0.0, 0.5, 1.0]
    assert points(Whole(1, 3), 5) == [1, 2, 3]
    assert points(Real(0.1, 0.3, 0.1), 2) == [0.1, 0.2, 0.3]


_TEXT = some.text(some.characters(codec="ascii", exclude_categories=["C"]))
_NUMBERS = some.integers(-(10**9), 10**9) | some.floats(allow_nan=False, allow_infinity=False)
_PLAIN = _NUMBERS | some.booleans() | some.none() | _TEXT


@given(_PLAIN)
def test_a_spelled_value_is_read_again_as_the_same(value: object) -> None:
    found = parsed([f"x={spelled(value)}"])[0]
    assert not found.is_sweep_override()
    assert found.value() == value
