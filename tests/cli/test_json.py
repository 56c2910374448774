"""With --json standard output holds the answer alone, whatever a project's own code prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.faults.kill import tidemill

LOUD = """
from sklearn.linear_model import LogisticRegression
print('{"imported": "by own code"}')


def Loud(C=1.0):
    print("made aloud")
    return LogisticRegression(C=C, max_iter=500)
"""
OWN = ("model=own", "model.params.path=loud.Loud", "logger.system_metrics=false")


def answer(project: Path, *command: str) -> Any:
    """What the command answers, after it has printed."""
    done = tidemill(*command, "--json", cwd=project)
    assert done.code == 0, done.err
    assert "made aloud" in done.err
    return json.loads(done.out)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = tidemill("init", "loud", "--task", "tabular", cwd=tmp_path_factory.mktemp("json"))
    assert done.code == 0, done.err
    found = tmp_path_factory.getbasetemp() / "json0" / "loud"
    (found / "src").mkdir()
    (found / "src" / "loud.py").write_text(LOUD)
    return found


@pytest.mark.slow
def test_commands_that_train_answer_with_json_alone(project: Path) -> None:
    trained = answer(project, "train", *OWN)
    assert trained["version"] == 1
    assert trained["metrics"]["accuracy"] > 0.8
    grid = answer(project, "train", "-m", *OWN, "model.params.settings={C: 0.5},{C: 2.0}")
    assert [each["version"] for each in grid] == [2, 3]
    found = answer(project, "tune", *OWN, "seed=1,2", "search.trials=2", "search.workers=1")
    assert found["trained"]["version"] == 4
    steps = answer(project, "pipeline", "run", *OWN, "seed=5")
    assert [each["step"] for each in steps][:2] == ["data", "train"]


def test_an_answer_in_words_shows_what_is_printed_where_it_always_was(project: Path) -> None:
    done = tidemill("train", *OWN, "export.required=false", "model.params.settings={C: -1.0}", cwd=project)
    assert (done.code, done.out.splitlines()[-1]) == (2, "made aloud")
