"""`mlflow.pyfunc` opens a bundle through this module (`loader_module`); no pickled Python object is involved.

model = mlflow.pyfunc.load_model("models:/digits@champion")
model.predict([Path("seven.png").read_bytes()])
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.bundle.predictor import Predictor
from tidemill.domain.bundle import ImagePreprocessing, TabularPreprocessing
from tidemill.errors import InputError
from tidemill.process import usable_cores
from tidemill.project.bundles import load, open_model

if TYPE_CHECKING:
    import pandas as pd


class PyfuncModel:
    """What `mlflow.pyfunc.load_model` gives for a version of Tidemill's."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """A row for each input: `output`, and `score_LABEL` for each label (regression: `output` alone, a number).

        Pictures: files as bytes or paths, in a list, an array or the only column of a DataFrame; or pixels that are
        ready, uint8 [N, H, W, C]. Text: strings likewise. Tables: a DataFrame, a list of dicts, or an array of the
        columns in order. Raises InputError for anything else.
        """
        import pandas as pd

        bundle = self.predictor.bundle
        if isinstance(model_input, np.ndarray) and model_input.ndim == 4:
            scores = self.predictor.score_feed({"image": self._pixels(model_input)}).scores
        else:
            scores = self.predictor.score(self._raw(model_input)).scores
        if not bundle.signature.labels:
            return pd.DataFrame({"output": scores[:, 0]})
        columns = {f"score_{label}": scores[:, i] for i, label in enumerate(bundle.signature.labels)}
        return pd.DataFrame({"output": [answer.output for answer in self.predictor.answers(scores)], **columns})

    def _pixels(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        tensor = self.predictor.bundle.signature.inputs[0]
        if tensor.name != "image" or pixels.dtype != np.uint8 or pixels.shape[1:] != tensor.shape[1:]:
            raise InputError(
                f"an array of {pixels.dtype} {pixels.shape} is not what {self.predictor.bundle.name} takes",
                f"give {tensor.name} as {tensor.dtype} {('N', *tensor.shape[1:])}, or raw inputs in a list",
            )
        return pixels

    def _raw(self, given: Any) -> list[Any]:
        preprocessing = self.predictor.bundle.preprocessing
        if isinstance(preprocessing, TabularPreprocessing):
            return _rows(given, [column.name for column in preprocessing.columns])
        values = _values(given)
        if isinstance(preprocessing, ImagePreprocessing):
            return [Path(value).read_bytes() if isinstance(value, str | Path) else value for value in values]
        return values


def _rows(given: Any, names: list[str]) -> list[Any]:
    if hasattr(given, "to_dict"):  # a DataFrame; its missing values are not a row's
        import pandas as pd

        frame = pd.DataFrame(given).astype(object)
        return list(frame.where(frame.notna(), None).to_dict("records"))
    if isinstance(given, np.ndarray):
        if given.ndim != 2 or given.shape[1] != len(names):
            raise InputError(f"an array of shape {given.shape} has not the {len(names)} columns", ", ".join(names))
        return [dict(zip(names, row, strict=True)) for row in given.tolist()]
    return [given] if isinstance(given, Mapping) else list(given)


def _values(given: Any) -> list[Any]:
    if hasattr(given, "columns"):  # a DataFrame
        if len(given.columns) != 1:
            raise InputError(f"a table of {len(given.columns)} columns is given", "give one column with the inputs")
        given = given.iloc[:, 0]
    if isinstance(given, str | bytes | Path):
        return [given]
    return given.tolist() if hasattr(given, "tolist") else list(given)


def load_model(model: str) -> PyfuncModel:
    """The same without MLflow: `model` is name@alias or name/version of the project here, or a bundle's directory.

    Raises InputError, NotFoundError, BundleError, StateError.
    """
    return PyfuncModel(open_model(None, model))


def _load_pyfunc(path: str) -> PyfuncModel:
    """MLflow's way in, also in a worker of Spark: a bundle is tried once on a machine, whoever loads it there."""
    return PyfuncModel(load(Path(path), threads=usable_cores()))
