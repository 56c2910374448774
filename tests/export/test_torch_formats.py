"""TorchScript and torch.export: what is read back answers as the source does, for batches and lengths it never saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.bundle.sources import picture_model, sentence_model, table_model
from tidemill.backends.exporters import torch_export, torchscript
from tidemill.backends.exporters.torch_export import TorchExportExporter
from tidemill.backends.exporters.torchscript import TorchScriptExporter
from tidemill.backends.families.networks.source import NetworkModel
from tidemill.dataset.read import Examples
from tidemill.errors import GateError
from tidemill.ports import Exporter

FORMS = pytest.mark.parametrize(
    ("exporter", "form"), [(TorchScriptExporter(), torchscript), (TorchExportExporter(), torch_export)]
)


@FORMS
@pytest.mark.parametrize("make", [lambda: picture_model(8, 8, 1), sentence_model])
def test_what_is_read_back_is_the_source(
    tmp_path: Path, make: Callable[[], tuple[NetworkModel, Examples]], exporter: Exporter, form: ModuleType
) -> None:
    model, _ = make()
    exporter.export(model, tmp_path / "model")
    session = form.load(tmp_path / "model", model)
    example = model.example()
    for rows in (1, 5):
        feed = {name: np.repeat(values, 3, axis=0)[:rows] for name, values in example.items()}
        if "input_ids" in feed:
            feed = {name: np.ascontiguousarray(values[:, :5]) for name, values in feed.items()}
        given, truth = session.run(feed), model.score(feed)
        np.testing.assert_allclose(given.scores, truth.scores, atol=1e-6)
        np.testing.assert_allclose(given.embedding, truth.embedding, atol=1e-5)


@FORMS
def test_a_table_has_no_such_form(tmp_path: Path, exporter: Exporter, form: ModuleType) -> None:
    model, _ = table_model("xgboost", classes=2, nullable=False)
    with pytest.raises(GateError, match=f"TreesModel has no {form.FORM} form: it is no torch module"):
        exporter.export(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@FORMS
def test_a_batch_that_does_not_fit_is_one_clear_error(tmp_path: Path, exporter: Exporter, form: ModuleType) -> None:
    model, _ = picture_model(8, 8, 1)
    exporter.export(model, tmp_path / "model")
    with pytest.raises(GateError, match="failed on a batch"):
        form.load(tmp_path / "model", model).run({"image": np.zeros((2, 8, 8, 7), np.uint8)})
