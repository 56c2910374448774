"""The model as pyfunc gives it, opened without MLflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.serve.bundles import DIGITS, image_bundle, picture, tabular_bundle, text_bundle
from tidemill.errors import InputError, StateError
from tidemill.pyfunc import load_model


def test_each_task_answers_a_frame(tmp_path: Path) -> None:
    rows = pd.DataFrame({"width": [1.0, -4.0], "height": [2, 0]})
    answers = load_model(str(tabular_bundle(tmp_path / "tabular"))).predict(rows)
    assert answers["output"].tolist() == ["large", "small"]
    assert answers.columns.tolist() == ["output", "score_small", "score_medium", "score_large"]
    said = load_model(str(text_bundle(tmp_path / "text"))).predict(pd.DataFrame({"text": ["good", "bad bad"]}))
    assert said["output"].tolist() == ["good", "bad"]
    model = load_model(str(image_bundle(tmp_path / "image")))
    seen = model.predict(pd.DataFrame({"image": [picture(1), picture(2)]}))
    assert seen["output"].tolist() == model.predict([picture(1), picture(2)])["output"].tolist()
    np.testing.assert_allclose(seen[[f"score_{label}" for label in DIGITS]].sum(axis=1), 1, atol=1e-5)
    value = load_model(str(tabular_bundle(tmp_path / "value", regression=True))).predict(rows)
    assert value["output"].tolist() == [5.0, -4.0]


def test_what_cannot_be_answered_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(str(tabular_bundle(tmp_path / "bundle")))
    with pytest.raises(InputError, match="height"):
        model.predict(pd.DataFrame({"width": [1.0]}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StateError):
        load_model("sizes@champion")


def test_mlflow_is_not_behind_it(tmp_path: Path) -> None:
    code = (
        "import sys; from tidemill.pyfunc import load_model; "
        f"model = load_model({str(text_bundle(tmp_path / 'bundle'))!r}); model.predict(['good']); "
        "print([name for name in ('mlflow', 'torch', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
