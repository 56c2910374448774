"""MLflow's registry: versions open through mlflow.pyfunc, by alias and by number, and registering twice is once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.registry.conftest import AGAIN, GOOD, NAME, POOR
from tests.serve.bundles import image_bundle, picture, tabular_bundle, text_bundle
from tidemill.backends.registries.mlflow import MlflowRegistry
from tidemill.bundle.read import open_bundle
from tidemill.domain.registry import ModelVersion
from tidemill.errors import InputError, NotFoundError, StorageError
from tidemill.project import data, models
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout
from tidemill.pyfunc import _load_pyfunc

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning"),  # MLflow's import warns of its own types
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]


@pytest.fixture
def registry(project: Layout) -> MlflowRegistry:
    return MlflowRegistry(ensure_database(project))


@pytest.fixture
def tracked(project: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """As a notebook of the user's would be set up."""
    models.promote(project, NAME, GOOD)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ensure_database(project))
    return project


@pytest.mark.parametrize("name", [f"{NAME}@champion", f"{NAME}/{GOOD}"])
def test_a_version_loads_as_pyfunc_and_predicts(tracked: Layout, name: str) -> None:
    import mlflow

    loaded = mlflow.pyfunc.load_model(f"models:/{name}")
    test = data.open_version(tracked, NAME).table("test").to_pandas()
    features = test.drop(columns=["diagnosis"])
    answers = loaded.predict(features)
    assert answers.columns.tolist() == ["output", "score_benign", "score_malignant"]
    assert (answers["output"] == test["diagnosis"]).mean() > 0.9
    native = models.open_predictor(tracked, models.resolve(tracked, f"{NAME}/{GOOD}"))
    assert answers["output"].tolist() == [each.output for each in native.predict(features.to_dict("records"))]
    pd.testing.assert_frame_equal(loaded.predict(features.to_numpy()), answers)
    pd.testing.assert_frame_equal(loaded.predict(features.to_dict("records")), answers)


def test_the_artefact_is_the_bundle(tracked: Layout, registry: MlflowRegistry, tmp_path: Path) -> None:
    (version,) = [each for each in registry.versions(NAME) if each.number == GOOD]
    assert version == models.resolve(tracked, f"{NAME}@champion")
    fetched = registry.bundle(version, tmp_path / "fetched")
    assert open_bundle(fetched, expected=version.bundle).bundle.name == NAME
    with pytest.raises(NotFoundError, match="cancer/9"):
        registry.bundle(ModelVersion(NAME, 9, version.bundle, version.run), tmp_path / "none")


def test_the_same_bundle_of_the_same_run_keeps_its_number(project: Layout, registry: MlflowRegistry) -> None:
    version = models.resolve(project, f"{NAME}/{GOOD}")
    assert registry.register(NAME, project.bundle(version.bundle), version.run, {}) == GOOD
    assert [each.number for each in registry.versions(NAME)] == [1, GOOD, AGAIN]
    assert registry.names() == [NAME]


def test_versions_of_one_run_keep_a_bundle_each(tracked: Layout, registry: MlflowRegistry, tmp_path: Path) -> None:
    """As an export in another precision makes them."""
    import mlflow

    uri = ensure_database(tracked)
    client = mlflow.MlflowClient(uri, uri)
    digests = [models.resolve(tracked, f"{NAME}/{number}").bundle for number in (POOR, GOOD)]
    experiment = client.get_run(models.resolve(tracked, f"{NAME}/{GOOD}").run).info.experiment_id
    run = client.create_run(experiment).info.run_id
    numbers = [registry.register(NAME, tracked.bundle(digest), run, {}) for digest in digests]
    assert len(set(numbers)) == 2
    for number, digest in zip(numbers, digests, strict=True):
        fetched = registry.bundle(ModelVersion(NAME, number, digest, run), tmp_path / str(number))
        assert open_bundle(fetched, expected=digest).bundle.name == NAME
    features = data.open_version(tracked, NAME).table("test").to_pandas().drop(columns=["diagnosis"])
    poor, good = (mlflow.pyfunc.load_model(f"models:/{NAME}/{number}").predict(features) for number in numbers)
    assert not np.allclose(poor["score_benign"], good["score_benign"])


def test_aliases_are_set_moved_and_removed(project: Layout, registry: MlflowRegistry) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(ensure_database(project), ensure_database(project))

    def aliases() -> dict[str, int]:
        return {alias: int(number) for alias, number in client.get_registered_model(NAME).aliases.items()}

    models.promote(project, NAME, GOOD)
    assert aliases() == {"champion": GOOD, "challenger": AGAIN}
    models.promote(project, NAME, AGAIN, force="to see the aliases move")
    assert aliases() == {"champion": AGAIN}
    models.rollback(project, NAME)
    assert aliases() == {"champion": GOOD}
    registry.point(NAME, "champion", None)
    registry.point(NAME, "champion", None)
    assert aliases() == {}


def test_a_registry_that_is_away_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError, match="MLflow"):
        MlflowRegistry(f"sqlite:///{tmp_path / 'x.db'}").names()


def test_pictures_for_pyfunc(tmp_path: Path) -> None:
    model = _load_pyfunc(str(image_bundle(tmp_path / "image")))
    content = picture(1)
    (tmp_path / "one.png").write_bytes(content)
    answers = model.predict([content, content])
    assert answers.shape == (2, 11)
    for given in (
        [str(tmp_path / "one.png")] * 2, [tmp_path / "one.png"] * 2, pd.DataFrame({"any": [content] * 2}),
        pd.Series([content] * 2), np.array([content] * 2, object),
        np.repeat(model.predictor.preprocessor.prepare([content])["image"], 2, axis=0),
    ):  # fmt: skip
        pd.testing.assert_frame_equal(model.predict(given), answers)
    for bad in (pd.DataFrame({"a": [content], "b": [1]}), np.zeros((1, 9, 9, 1), np.uint8), np.zeros((1, 8, 8, 1))):
        with pytest.raises(InputError):
            model.predict(bad)


def test_text_for_pyfunc(tmp_path: Path) -> None:
    model = _load_pyfunc(str(text_bundle(tmp_path / "text")))
    answers = model.predict(["good tide", "bad"])
    assert answers["output"].tolist() == ["good", "bad"]
    for given in (pd.DataFrame({"text": ["good tide", "bad"]}), np.array(["good tide", "bad"])):
        pd.testing.assert_frame_equal(model.predict(given), answers)
    assert model.predict("good tide")["output"].tolist() == ["good"]


def test_values_for_pyfunc(tmp_path: Path) -> None:
    model = _load_pyfunc(str(tabular_bundle(tmp_path / "values", regression=True)))
    answers = model.predict(pd.DataFrame({"width": [1, 2], "height": [0.5, 1]}))
    assert answers.columns.tolist() == ["output"] and answers["output"].tolist() == [2, 4]
    bad: Any
    for bad in (pd.DataFrame({"width": [1]}), np.zeros((1, 3)), pd.DataFrame({"width": [np.nan], "height": [1]})):
        with pytest.raises(InputError):
            model.predict(bad)
