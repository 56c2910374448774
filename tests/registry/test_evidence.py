"""What a promotion rests on: two versions on the same rows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.bundle.conftest import EXAMPLE
from tests.bundle.sealing import edit, reseal
from tests.serve.bundles import tabular_bundle
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.preprocess import raw_input
from tidemill.bundle.read import open_bundle
from tidemill.bundle.reference import read_reference
from tidemill.config.schema import PromotionConfig
from tidemill.dataset.read import Examples
from tidemill.domain.dataset import Column, DatasetVersion
from tidemill.domain.digest import Digest
from tidemill.domain.evidence import Check, Evidence
from tidemill.domain.registry import ModelVersion
from tidemill.errors import DataError, GateError
from tidemill.stages.promote import Contestant, compare


def contestant(directory: Path, number: int) -> Contestant:
    opened = open_bundle(directory)
    session = OnnxRuntime().load(directory, opened.bundle, threads=1)
    return Contestant(ModelVersion(opened.bundle.name, number, opened.digest, "run"), Predictor(opened, session))


def dataset(kind: Any = "classification") -> DatasetVersion:
    return DatasetVersion(
        "iris", "2.0.0", "tabular", kind, Digest("sha256:" + "1" * 64), (Column("kind", "string", "target"),), ()
    )


@pytest.fixture
def examples() -> Examples:
    """The thirty rows of the example's reference sample, ten times: 300 rows, 28 of 30 of which it has right."""
    table = read_reference(open_bundle(EXAMPLE))
    inputs = [raw_input("tabular", content) for content in table["input"].to_pylist()] * 10
    labels = tuple(table["label"].to_pylist() * 10)
    return Examples(tuple(map(str, range(len(labels)))), inputs, labels, None)  # type: ignore[arg-type]  # rows


@pytest.fixture
def sound(tmp_path: Path) -> Contestant:
    return contestant(Path(shutil.copytree(EXAMPLE, tmp_path / "sound")), 2)


@pytest.fixture
def blunt(tmp_path: Path) -> Contestant:
    """The example, with the coefficients of the last class set to those of the first."""
    directory = Path(shutil.copytree(EXAMPLE, tmp_path / "blunt"))
    model = onnx.load(directory / "model.onnx")
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("coefficients", "intercepts"):
                values = list(attribute.floats)
                width = len(values) // 3
                del attribute.floats[:]
                attribute.floats.extend([*values[: 2 * width], *values[:width]])
    onnx.save(model, directory / "model.onnx")
    reseal(directory)
    return contestant(directory, 1)


def checks(evidence: Evidence) -> Mapping[str, Check]:
    return {check.name: check for check in evidence.checks}


def test_a_better_one_has_the_figures_of_both(sound: Contestant, blunt: Contestant, examples: Examples) -> None:
    evidence = compare(sound, blunt, examples, dataset(), PromotionConfig())
    assert evidence.held and evidence.metric == "accuracy" and evidence.rows == 300
    assert evidence.champion is not None and evidence.difference is not None
    assert evidence.challenger == pytest.approx(28 / 30)
    assert evidence.challenger - evidence.champion == pytest.approx(evidence.difference)
    assert evidence.only_challenger is not None and evidence.only_champion is not None
    assert (evidence.only_challenger - evidence.only_champion) / 300 == pytest.approx(evidence.difference)
    assert evidence.low is not None and evidence.high is not None and evidence.p_value is not None
    assert evidence.low < evidence.difference < evidence.high and evidence.p_value < 1e-6
    assert (evidence.dataset, evidence.challenger_version, evidence.champion_version) == ("iris-v2.0.0", 2, 1)
    virginica = evidence.per_class["virginica"]
    assert virginica["champion"] == 0 and virginica["challenger"] is not None and virginica["challenger"] > 0.8


def test_a_worse_one_fails_and_the_class_that_falls_is_named(
    sound: Contestant, blunt: Contestant, examples: Examples
) -> None:
    evidence = compare(blunt, sound, examples, dataset(), PromotionConfig(class_floor=0.5))
    failed = {name for name, check in checks(evidence).items() if not check.held}
    assert failed == {"better", "classes"}
    assert "below 0.5: virginica" in checks(evidence)["classes"].detail
    loose = checks(compare(blunt, sound, examples, dataset(), PromotionConfig()))["classes"]
    assert loose.held and "falls: virginica -" in loose.detail


def test_a_class_that_the_champion_had_below_the_floor_does_not_count(blunt: Contestant, examples: Examples) -> None:
    assert checks(compare(blunt, blunt, examples, dataset(), PromotionConfig(class_floor=0.5)))["classes"].held


def test_the_same_model_is_not_better_and_not_worse(sound: Contestant, examples: Examples) -> None:
    assert not checks(compare(sound, sound, examples, dataset(), PromotionConfig()))["better"].held
    config = PromotionConfig(mode="non_inferiority", margin=0.02)
    assert compare(sound, sound, examples, dataset(), config).held
    tight = PromotionConfig(mode="non_inferiority", margin=0.0001)
    assert not compare(sound, sound, examples, dataset(), tight).held


@pytest.mark.parametrize(
    ("config", "name"),
    [(PromotionConfig(min_score=0.95), "minimum"), (PromotionConfig(max_size_mb=0.001), "size")],
)
def test_absolute_checks_hold_for_the_first_version_too(
    sound: Contestant, examples: Examples, config: PromotionConfig, name: str
) -> None:
    assert compare(sound, None, examples, dataset(), PromotionConfig()).held
    evidence = compare(sound, None, examples, dataset(), config)
    assert [check.name for check in evidence.checks if not check.held] == [name]
    assert evidence.difference is None and evidence.champion is None


def test_a_bundle_whose_parity_did_not_hold_is_not_promoted(tmp_path: Path, examples: Examples) -> None:
    directory = Path(shutil.copytree(EXAMPLE, tmp_path / "loose"))
    edit(directory, lambda record: record["parity"].update(changed=9))
    evidence = compare(contestant(directory, 1), None, examples, dataset(), PromotionConfig())
    assert not checks(evidence)["parity"].held and "9 of 30" in checks(evidence)["parity"].detail


def test_rows_that_a_champion_cannot_read_are_named(sound: Contestant, tmp_path: Path, examples: Examples) -> None:
    other = contestant(tabular_bundle(tmp_path / "other"), 1)
    with pytest.raises(GateError, match=r"sizes/1 cannot read the rows of iris-v2.0.0: row 0 lacks") as refused:
        compare(sound, other, examples, dataset(), PromotionConfig())
    assert "--force" in refused.value.remedy


def test_another_kind_of_model_is_refused(sound: Contestant, tmp_path: Path) -> None:
    values = contestant(tabular_bundle(tmp_path / "values", regression=True), 1)
    none = Examples(("0",), [{"width": 1.0, "height": 2.0}], (), np.array([5.0]))
    with pytest.raises(GateError, match="is for tabular classification"):
        compare(sound, None, none, dataset("regression"), PromotionConfig())
    assert compare(values, None, none, dataset("regression"), PromotionConfig()).metric == "rmse"


def test_a_split_without_rows_is_refused(sound: Contestant) -> None:
    with pytest.raises(DataError, match="no test split"):
        compare(sound, None, Examples((), [], (), None), dataset(), PromotionConfig())


def test_values_are_compared_by_their_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [{"width": float(a), "height": float(b)} for a, b in rng.normal(0, 3, (200, 2))]
    truth = np.array([row["width"] + 2 * row["height"] for row in rows]) + rng.normal(0, 0.1, 200)
    examples = Examples(tuple(map(str, range(200))), rows, (), truth)
    right = contestant(tabular_bundle(tmp_path / "right", regression=True), 2)
    directory = tabular_bundle(tmp_path / "wrong", regression=True)
    model = onnx.load(directory / "model.onnx")
    for constant in model.graph.initializer:
        constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) * np.float32(0.9), constant.name))
    onnx.save(model, directory / "model.onnx")
    reseal(directory)
    wrong = contestant(directory, 1)
    evidence = compare(right, wrong, examples, dataset("regression"), PromotionConfig(min_score=0.9))
    assert evidence.held and evidence.challenger == pytest.approx(0.1, abs=0.02)
    assert evidence.high is not None and evidence.high < 0
    back = compare(wrong, right, examples, dataset("regression"), PromotionConfig(min_score=0.9999))
    assert [check.name for check in back.checks if not check.held] == ["minimum", "better"]
    config = PromotionConfig(mode="non_inferiority", margin=0.1)
    assert compare(right, right, examples, dataset("regression"), config).held
