"""Each architecture's own settings, typed; `model.kind` chooses one, `model.params` is checked against it.

Field comments are documentation, as in `config/schema`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from tidemill.config.architectures.image import (
    Airbench,
    AlexNet,
    MambaOut,
    MobileNetV2,
    ResNet18,
    SmallCnn,
    Timm,
    Transformers,
)
from tidemill.config.architectures.own import Own
from tidemill.config.architectures.tabular import Lasso, Linear, Sklearn, XGBoost
from tidemill.config.architectures.text import Bert
from tidemill.config.schema import ModelConfig
from tidemill.domain.dataset import Kind, Task

__all__ = [
    "ARCHITECTURES",
    "Airbench",
    "AlexNet",
    "Architecture",
    "Bert",
    "Lasso",
    "Linear",
    "MambaOut",
    "MobileNetV2",
    "Own",
    "ResNet18",
    "Sklearn",
    "SmallCnn",
    "Timm",
    "Transformers",
    "XGBoost",
    "params_of",
]

P = TypeVar("P")
_CLASSES: tuple[Kind, ...] = ("classification",)
_BOTH: tuple[Kind, ...] = ("classification", "regression")


class Architecture(NamedTuple):
    """What `model.kind` may be: for which tasks, with which settings, for which kinds of target."""

    tasks: tuple[Task, ...]
    params: type[Any]
    kinds: tuple[Kind, ...] = _CLASSES

    @property
    def required(self) -> tuple[str, ...]:
        """The settings that have no default."""
        fields = dataclasses.fields(self.params)
        missing = dataclasses.MISSING
        return tuple(each.name for each in fields if each.default is missing and each.default_factory is missing)


ARCHITECTURES: Mapping[str, Architecture] = {
    "small_cnn": Architecture(("image",), SmallCnn),
    "airbench": Architecture(("image",), Airbench),
    "alexnet": Architecture(("image",), AlexNet),
    "resnet18": Architecture(("image",), ResNet18),
    "mambaout": Architecture(("image",), MambaOut),
    "mobilenet_v2": Architecture(("image",), MobileNetV2),
    "transformers": Architecture(("image",), Transformers),
    "timm": Architecture(("image",), Timm),
    "bert": Architecture(("text",), Bert),
    "linear": Architecture(("tabular",), Linear, _BOTH),
    "lasso": Architecture(("tabular",), Lasso, ("regression",)),
    "xgboost": Architecture(("tabular",), XGBoost, _BOTH),
    "sklearn": Architecture(("tabular",), Sklearn, _BOTH),
    "own": Architecture(("image", "text", "tabular"), Own, _BOTH),
}


def params_of(model: ModelConfig, cls: type[P]) -> P:
    """The checked settings of `model` as the dataclass `cls` of its architecture."""
    return cls(**model.params)
