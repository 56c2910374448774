"""Trials that fail for reasons of their own: no number any more, no memory left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.config.compose import compose
from tidemill.project.scaffold import init
from tidemill.project.searching.tune import tune
from tidemill.project.searching.worker import kept

WILD = (
    "optimizer: {name: sgd, lr: 10.0, momentum: 0.9, weight_decay: 1e10, scheduler: {name: none}}\n"
    "trainer: {gradient_clip: 0.0}\n"
)
HUGE = "data: {image: {height: 256, width: 256}}\nmodel: {params: {channels: 512}}\ntrainer: {batch_size: 5000}\n"


@pytest.mark.slow
def test_a_lost_loss_and_lost_memory_are_recorded_and_the_study_goes_on(tmp_path: Path) -> None:
    project = init(tmp_path / "digits", name="digits", task="image")
    folder = project.conf / "experiment"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("calm", "seed: 1\n"), ("wild", WILD), ("huge", HUGE)):
        (folder / f"{name}.yaml").write_text(f"# @package _global_\n{content}")
    tuned = tune(project, ["experiment=wild,huge,calm", "trainer.max_epochs=2", "search.sampler=grid",
                           "search.pruner=none", "search.register=false"])  # fmt: skip
    by = {each.settings["experiment"]: each for each in tuned.found.trials}
    assert by["calm"].state == "complete", by["calm"].reason
    assert by["wild"].state == "failed"
    assert "no number" in by["wild"].reason
    assert by["huge"].state == "failed"
    assert "out of memory" in by["huge"].reason
    assert tuned.overrides == [["trainer.max_epochs=2", "experiment=calm"]]


def test_a_trial_is_worth_what_its_weights_are_worth() -> None:
    history = [(1, {"val_loss": 3.0, "val_accuracy": 0.5}), (2, {"val_loss": 1.0, "val_accuracy": 0.6}),
               (3, {"val_loss": 2.0, "val_accuracy": 0.7})]  # fmt: skip
    network = compose(None, [], name="x", task="image")
    assert kept(network, history)["val_accuracy"] == 0.6  # the weights of the second epoch are gone back to
    last = compose(None, ["callbacks=none"], name="x", task="image")
    assert kept(last, history)["val_accuracy"] == 0.7
    trees = compose(None, [], name="x", task="tabular")
    assert kept(trees, history)["val_loss"] == 1.0
    assert kept(compose(None, ["model.params.patience=0"], name="x", task="tabular"), history)["val_loss"] == 2.0
