"""`doctor train` on trainings that are bound by one thing by construction; and that it keeps nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.doctor.conftest import Quiet
from tidemill.backends.trackers.csv import CsvTracker
from tidemill.cli.commands.doctor import _show
from tidemill.cli.root import tidemill
from tidemill.errors import InputError
from tidemill.ports import Times
from tidemill.project.layout import Layout
from tidemill.project.profiling import profile_training
from tidemill.project.scaffold import init
from tidemill.stages.profile import Diagnosis, Setting, diagnose, shares, verdict_of

TINY = ("model=small_cnn", "model.params.channels=4")


def profiled(layout: Layout, *overrides: str, seconds: float = 5, beside: tuple[CsvTracker, ...] = ()) -> Diagnosis:
    return profile_training(layout, overrides, seconds=seconds, report=Quiet(), beside=beside)


class FarAway(CsvTracker):
    """A tracker whose store answers late: each line is on the disk, and a fifth of a second passes."""

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        super().log(run, metrics, step)
        with self._metrics(run).open("rb") as file:
            os.fsync(file.fileno())
        time.sleep(0.2)


@pytest.mark.alone
def test_large_pictures_for_a_tiny_network_are_data_bound(large_pictures: Layout) -> None:
    found = profiled(
        large_pictures, *TINY, "data.image.height=16", "data.image.width=16", "data.cache_gb=0", "data.workers=1",
        "trainer.batch_size=8",
    )  # fmt: skip
    assert found.verdict == "data-bound"
    assert found.shares["data"] > 0.6
    assert found.best is not None
    assert "data.cache_gb=-1" in found.best.setting.overrides  # decoding it once beats any number of workers
    assert found.best.gain > 1
    assert not large_pictures.database.exists()
    assert list(large_pictures.staging.iterdir()) == []


@pytest.mark.alone
def test_a_large_network_on_small_pictures_is_compute_bound(digits: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    found = profiled(digits, "model=small_cnn", "model.params.channels=128", "trainer.batch_size=32")
    assert found.verdict == "compute-bound"
    assert found.shares["compute"] > 0.9
    assert found.shares["data"] < 0.05
    assert {each.setting.overrides for each in found.tried} >= {(), ("trainer.threads=1",)}
    _show(found)
    shown = capsys.readouterr().out
    assert shown.startswith("compute-bound")
    assert "trainer.threads=1" in shown


@pytest.mark.alone
def test_a_store_that_answers_late_is_logging_bound(digits: Layout, tmp_path: Path) -> None:
    found = profiled(digits, *TINY, "trainer.batch_size=1024", beside=(FarAway(tmp_path / "far"),))
    assert found.verdict == "logging-bound"
    assert found.shares["logging"] > 0.5


@pytest.mark.alone
def test_the_command_answers_and_leaves_the_tracker_alone(digits: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(digits.root)
    done = CliRunner().invoke(tidemill, ["doctor", "train", *TINY, "--seconds", "5", "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["verdict"] == "compute-bound"
    assert sum(answer["shares"].values()) == pytest.approx(1)
    assert answer["times"]["steps"] >= 2
    assert not digits.database.exists()
    assert list(digits.staging.iterdir()) == []


def test_trees_have_no_steps(tmp_path: Path) -> None:
    layout = init(tmp_path / "table", name="table", task="tabular", sample=None)
    with pytest.raises(InputError, match="not trained in steps"):
        profiled(layout)


def test_the_old_command_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(tidemill, ["doctor"])
    assert done.exit_code == 0
    assert "cores usable" in done.stdout
    findings = json.loads(CliRunner().invoke(tidemill, ["doctor", "--json"]).stdout)
    assert "python" in {each["name"] for each in findings}


@pytest.mark.parametrize(
    ("times", "verdict"),
    [
        (Times(10, 100, 5.0, 1.0, 3.0, 0.5), "data-bound"),
        (Times(10, 100, 1.0, 5.0, 3.0, 0.5), "host-to-device-bound"),
        (Times(10, 100, 1.0, 1.0, 3.0, 0.5), "compute-bound"),
        (Times(10, 100, 1.0, 1.0, 3.0, 3.5), "logging-bound"),
    ],
)
def test_the_verdict_is_the_largest_share(times: Times, verdict: str) -> None:
    assert verdict_of(shares(times)) == verdict


def test_the_advice_is_the_best_by_median_of_what_stayed_near() -> None:
    """A setting that is far off is tried once; one that was lucky once is found out."""
    present, better, far, lucky = (Setting((what,) * (what != "a"), what) for what in "abcd")
    rates = {present: [10.0] * 9, better: [12.0] * 9, far: [5.0] * 9, lucky: [13.0, *[9.0] * 9]}
    seen: list[str] = []

    def measure(setting: Setting) -> Times:
        seen.append(setting.what)
        return Times(1, 1, 0.0, 0.0, 1 / rates[setting].pop(0), 0.0)

    found = diagnose(measure(present), measure, present, [better, far, lucky], rounds=3)
    assert found.best is not None
    assert found.best.setting == better
    assert found.best.gain == pytest.approx(0.2)
    assert seen.count("c") == 1
    assert seen[1:5] == ["a", "b", "c", "d"]


def test_a_gain_within_noise_is_no_advice() -> None:
    present, other = Setting((), "a"), Setting(("b=1",), "b")
    rates = {present: 10.0, other: 10.3}
    found = diagnose(
        Times(1, 1, 0.0, 0.0, 0.1, 0.0),
        lambda each: Times(1, 1, 0.0, 0.0, 1 / rates[each], 0.0),
        present,
        [other],
        rounds=2,
    )
    assert found.best is None
