"""Composition: what is right composes, what is wrong is named with the nearest that is known."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tidemill.config.architectures import ARCHITECTURES
from tidemill.config.compose import compose, config_plain
from tidemill.config.describe import settings
from tidemill.config.effect import without_effect
from tidemill.config.groups import PACKAGED
from tidemill.config.schema import Config
from tidemill.config.sweep import expand
from tidemill.domain.digest import Digest
from tidemill.domain.record import from_plain
from tidemill.errors import ConfigError


def image(*overrides: str, conf: Path | None = None) -> Config:
    return compose(conf, overrides, name="digits", task="image")


def refused(*overrides: str, conf: Path | None = None) -> tuple[str, str]:
    with pytest.raises(ConfigError) as raised:
        image(*overrides, conf=conf)
    return raised.value.headline, raised.value.remedy


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a file of a project's conf, whose folder it returns."""

    def file(name: str, content: str) -> Path:
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return tmp_path / "conf"

    return file


@pytest.mark.parametrize(("task", "kind"), [("image", "small_cnn"), ("text", "bert"), ("tabular", "xgboost")])
def test_a_project_without_settings_has_its_tasks_defaults(task: str, kind: str) -> None:
    config = compose(None, [], name="mine", task=task)  # type: ignore[arg-type]  # a parameter of the test
    assert (config.name, config.data.name, config.model.kind) == ("mine", "mine", kind)
    assert set(config.model.params) >= {"channels"} or task != "image"


def test_groups_and_values_are_chosen_on_the_command_line() -> None:
    config = image("model=resnet18", "optimizer=sgd", "trainer.max_epochs=3", "optimizer.lr=1e-2", "data=other")
    assert (config.model.kind, config.optimizer.name, config.trainer.max_epochs) == ("resnet18", "sgd", 3)
    assert (config.optimizer.lr, config.data.name) == (0.01, "other")


def test_an_interpolation_is_resolved() -> None:
    assert image("data.name=${name}-extra").data.name == "digits-extra"


def test_the_projects_values_come_before_the_groups_and_its_files_before_the_packaged(
    write: Callable[[str, str], Path],
) -> None:
    write("trainer/default.yaml", "max_epochs: 4\nbatch_size: 8\n")
    write("data/pets.yaml", "name: pets\nimage: {height: 16}\n")
    conf = write("config.yaml", "defaults:\n  - data: pets\ntrainer:\n  batch_size: 16\n")
    config = image(conf=conf)
    assert (config.trainer.max_epochs, config.trainer.batch_size) == (4, 16)
    assert (config.data.name, config.data.image.height) == ("pets", 16)
    assert image("trainer.batch_size=2", conf=conf).trainer.batch_size == 2


def test_an_experiment_wins_over_the_file_and_loses_to_an_argument(write: Callable[[str, str], Path]) -> None:
    write("experiment/mine.yaml", "# @package _global_\ndefaults:\n  - override /model: resnet18\nseed: 7\n")
    conf = write("config.yaml", "defaults:\n  - model: small_cnn\n  - _self_\nseed: 1\n")
    config = image("experiment=mine", conf=conf)
    assert (config.seed, config.model.kind) == (7, "resnet18")
    assert image("experiment=mine", "seed=9", conf=conf).seed == 9


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("trainer.max_epoch=3", "trainer.max_epochs"),
        ("max_epochs=3", "trainer.max_epochs"),
        ("lr=0.1", "optimizer.lr"),
        ("model=resnet8", "resnet18"),
        ("optimzer=adam", "optimizer"),
        ("optimizer.name=adm", "adam"),
        ("experiment=quik", "quick"),
        ("model.params.chanels=3", "model.params.channels"),
    ],
)
def test_what_is_unknown_names_the_nearest(argument: str, hint: str) -> None:
    headline, remedy = refused(argument)
    assert argument in headline
    assert hint in remedy


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("trainer.max_epochs=ten", "must be a whole number, not 'ten'"),
        ("trainer.max_epochs=1.5", "must be a whole number"),
        ("trainer.max_epochs=null", "must be a whole number"),
        ("trainer.batch_size=0", "must be at least 1"),
        ("optimizer.lr=-1", "must be greater than 0"),
        ("optimizer.lr=nan", "must be greater than 0"),
        ("callbacks.checkpoint=7", "must be true or false"),
        ("trainer=3", "there is no trainer '3'"),
        ("logger=[csv,wandb]", "a group takes one choice, not a list"),
        ("data.image=7", "must be a section"),
        ("trainer.max_epochs=1,2", "several values"),
        ("model=bert", "a model for text"),
        ("task=text", "this project's task is image"),
        ("hydra.run.dir=x", "no meaning here"),
        ("~trainer", "cannot be left out"),
        ("a b", "cannot be read as a setting"),
        ("optimizer.lr=${nothing}", "nothing"),
        ("model.params._target_=os.system", "refused"),
        ("model.params.a={_target_: os.system}", "refused"),
    ],
)
def test_what_does_not_fit_is_named(argument: str, said: str) -> None:
    assert said in refused(argument)[0]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.yaml", "seed: 1\ntrainer:\n  - : [\n", "config.yaml, line"),
        ("config.yaml", "trainer:\n  max_epochs: ten\n", "config.yaml, trainer.max_epochs"),
        ("config.yaml", "trainr:\n  max_epochs: 2\n", "config.yaml, trainr"),
        ("config.yaml", "- a\n- b\n", "must hold settings"),
        ("config.yaml", "defaults:\n  - modle: small_cnn\n", "there is no group 'modle'"),
        ("config.yaml", "defaults:\n  - model: resnet8\n", "there is no model 'resnet8'"),
        ("config.yaml", "hydra:\n  run:\n    dir: x\n", "only hydra.sweeper.params"),
        ("config.yaml", "seed: {_target_: os.system}\n", "refused"),
        ("trainer/default.yaml", "max_epochs: {{\n", "default.yaml, line"),
        ("trainer/default.yaml", "batch_size: 0\n", "trainer/default.yaml, trainer.batch_size"),
    ],
)
def test_a_wrong_file_is_named(write: Callable[[str, str], Path], file: str, content: str, said: str) -> None:
    assert said in refused(conf=write(file, content))[0]


@pytest.mark.parametrize(
    ("files", "arguments", "said", "remedy"),
    [
        ({"data/x.yaml": "/data/x@_here_"}, ("data=x",), "conf/data/x.yaml: its own defaults name it", "take that"),
        ({"data/cola.yaml": "/data/cola@_here_"}, ("data=cola",), "conf/data/cola.yaml: its own", "another name"),
        ({"data/x.yaml": "y", "data/y.yaml": "x"}, ("data=x",), "conf/data/x.yaml: its own defaults come back to it by "
         "way of data/y.yaml", "take that"),
        ({"trainer/x.yaml": "y", "trainer/y.yaml": "{/callbacks: z}", "callbacks/z.yaml": "/trainer/y@_here_"},
         ("trainer=x",), "conf/callbacks/z.yaml: its own defaults come back to it", "take that"),
        ({"config.yaml": "base", "base.yaml": "base"}, (), "conf/base.yaml: its own defaults name it", "take that"),
    ],
)  # fmt: skip
def test_defaults_that_come_back_to_their_file_are_named(
    write: Callable[[str, str], Path], files: dict[str, str], arguments: tuple[str, ...], said: str, remedy: str
) -> None:
    for name, entry in files.items():
        conf = write(name, f"defaults:\n  - {entry}\n")
    headline, advice = refused(*arguments, conf=conf)
    assert headline.startswith(said)
    assert remedy in advice


def test_what_has_no_effect_on_trees_is_told_from_files_and_arguments(write: Callable[[str, str], Path]) -> None:
    write("config.yaml", "defaults:\n  - trainer: mine\n  - _self_\nseed: 7\noptimizer:\n  lr: 0.1\n")
    write("trainer/mine.yaml", "defaults:\n  - default\n  - _self_\nthreads: 2\nmax_epochs: 3\n")
    write("trainer/other.yaml", "batch_size: 8\n")
    conf = write(
        "experiment/try.yaml", "# @package _global_\ncallbacks:\n  early_stopping:\n    patience: 3\nseed: 8\n"
    )
    given = ["experiment=try", "trainer.ema_decay=0.9", "model.params.trees=5"]
    config = compose(conf, given, name="x", task="tabular")
    notes = [each.partition(" does not bear on model=xgboost") for each in without_effect(config, given, conf)]
    assert [(told, more) for told, _, more in notes] == [
        ("config.yaml: optimizer.lr", "; its own is model.params.learning_rate"),
        ("trainer/mine.yaml: trainer.max_epochs", "; its own is model.params.trees"),
        ("experiment/try.yaml: callbacks.early_stopping.patience", "; its own is model.params.patience"),
        ("trainer.ema_decay=0.9", ""),
    ]
    assert list(without_effect(compose(conf, given[1:], name="x", task="tabular"), ["trainer=other"], conf))[1:] == [
        "trainer/other.yaml: trainer.batch_size does not bear on model=xgboost",
        "trainer=other does not bear on model=xgboost",
    ]
    assert not list(without_effect(image(conf=conf), [], conf))


def test_the_grid_takes_lists_ranges_globs_groups_and_the_files_parameters(write: Callable[[str, str], Path]) -> None:
    assert expand(None, ["model=alexnet,resnet18", "seed=range(1,3)"]) == [
        ["model=alexnet", "seed=1"], ["model=alexnet", "seed=2"],
        ["model=resnet18", "seed=1"], ["model=resnet18", "seed=2"],
    ]  # fmt: skip
    assert [row[0] for row in expand(None, ["model=glob([alex*,res*])"])] == [
        "model=alexnet", "model=resnet18",
    ]  # fmt: skip
    assert expand(None, ["optimizer.lr=choice(0.1,0.2)"]) == [["optimizer.lr=0.1"], ["optimizer.lr=0.2"]]
    conf = write("config.yaml", "hydra:\n  sweeper:\n    params:\n      seed: 1,2\n      trainer.batch_size: 8,16\n")
    assert len(expand(conf, [])) == 4
    assert expand(conf, ["seed=3"]) == [["seed=3", "trainer.batch_size=8"], ["seed=3", "trainer.batch_size=16"]]
    assert image(conf=conf).seed == 42


def test_composing_from_threads_mixes_nothing_up() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda seed: image(f"seed={seed}").seed, range(24))
        assert list(found) == list(range(24))


def test_plain_values_lead_back_to_the_configuration() -> None:
    config = image("trainer.max_epochs=3")
    plain = config_plain(config)
    assert from_plain(Config, {**plain, "model": {**plain["model"], "params": {}}}).trainer == config.trainer
    assert Digest.of_json(plain) == Digest.of_json(config_plain(image("trainer.max_epochs=3")))
    assert Digest.of_json(plain) != Digest.of_json(config_plain(image()))


def test_every_packaged_choice_composes() -> None:
    for kind, architecture in ARCHITECTURES.items():
        given = [f"model={kind}", *(f"model.params.{name}=mine" for name in architecture.required)]
        for task in architecture.tasks:
            assert compose(None, given, name="x", task=task).model.kind == kind
    for file in PACKAGED.glob("*/*.yaml"):
        if file.parent.name not in ("model", "data"):
            found = re.search(r"override /model: (\w+)", file.read_text())
            task = ARCHITECTURES[found[1]].tasks[0] if found else "image"
            assert compose(None, [f"{file.parent.name}={file.stem}"], name="x", task=task).task == task


def test_every_setting_is_listed_with_its_default() -> None:
    listed = {each.path: each for each in settings()}
    assert listed["trainer.max_epochs"].default == "10"
    assert "0" in listed["data.image.height"].comment
    assert listed["model.params.alpha"].type == "float > 0"


def test_lists_are_read_and_checked_value_by_value() -> None:
    params = image("model=mambaout", "model.params.dims=[16,32]", "model.params.depths=[1,2]").model.params
    assert (params["dims"], params["depths"]) == ([16, 32], [1, 2])
    assert "at least 8" in refused("model=mambaout", "model.params.dims=[16,4]")[0]
    assert "whole number" in refused("model=mambaout", "model.params.dims=[16,wide]")[0]
    assert "must be a list" in refused("model=mambaout", "model.params.dims=16")[0]
    assert "must be a list" in refused("model=mambaout", "model.params.dims=[]")[0]
    types = {each.path: (each.type, each.default) for each in settings()}
    assert types["model.params.dims"] == ("list of int >= 8, <= 2048", "[48, 96, 192, 288]")


def test_a_glob_leaves_out_the_models_of_other_tasks() -> None:
    assert [row[0] for row in expand(None, ["model=glob(*)"], task="tabular")] == [
        "model=lasso", "model=linear", "model=xgboost",
    ]  # fmt: skip
