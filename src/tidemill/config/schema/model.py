"""Group `model`: the architecture; its own settings are in `config/architectures.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class ModelConfig:
    """Group `model`: `kind` names the architecture; `params` are that architecture's own, typed settings."""

    kind: str
    params: dict[str, Any] = field(default_factory=dict)  # see config/architectures.py
