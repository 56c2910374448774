"""XGBoost's settings: early stopping on the validation split, objectives, penalties."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.backends.families.tables.trees import TreesModel
from tidemill.backends.families.tabular import TabularFamily
from tidemill.dataset.read import PackedDataset
from tidemill.errors import ConfigError

from ..training.samples import Heard, settings


def boosted(data: PackedDataset, folder: Path, *given: str) -> tuple[TreesModel, Heard]:
    heard = Heard()
    model = TabularFamily().fit(settings("tabular", *given), data, heard, folder)
    assert isinstance(model, TreesModel)
    return model, heard


def test_it_stops_where_the_validation_split_is_best(diabetes: PackedDataset, tmp_path: Path) -> None:
    given = ["model.params.trees=200", "model.params.learning_rate=0.3"]
    stopped, heard = boosted(diabetes, tmp_path, *given, "model.params.patience=5")
    whole, _ = boosted(diabetes, tmp_path, *given, "model.params.patience=0")
    assert stopped.booster.num_boosted_rounds() < 100
    assert whole.booster.num_boosted_rounds() == 200
    assert "val_rmse" in heard.steps[-1][1]


def test_penalties_and_objectives_have_an_effect(diabetes: PackedDataset, tmp_path: Path) -> None:
    given = ["model.params.trees=20", "model.params.patience=0"]
    plain, _ = boosted(diabetes, tmp_path, *given)
    bound, _ = boosted(diabetes, tmp_path, *given, "model.params.l1=1e6")
    assert bound.params < plain.params
    _, heard = boosted(diabetes, tmp_path, *given, "model.params.objective=reg:absoluteerror")
    assert "train_mae" in heard.steps[-1][1]
    deep, _ = boosted(diabetes, tmp_path, *given, "model.params.depth=34", "model.params.min_child_weight=0")
    assert deep.params > plain.params


def test_an_objective_for_another_kind_of_target_is_refused(
    diabetes: PackedDataset, cancer: PackedDataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="not made for a regression"):
        boosted(diabetes, tmp_path, "model.params.objective='binary:logistic'")
    with pytest.raises(ConfigError, match="not made for 2 classes"):
        boosted(cancer, tmp_path, "model.params.objective='reg:squarederror'")
    boosted(cancer, tmp_path, "model.params.objective='multi:softprob'", "model.params.trees=5")
