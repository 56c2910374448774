"""What a network needs beside its settings: seen to before a run begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.backends.families.imported import imported
from tidemill.backends.families.models.pretrained import place

if TYPE_CHECKING:
    from tidemill.config.schema import ModelConfig


def check_network(model: ModelConfig, root: Path) -> None:
    """Raises ConfigError unless own code can be imported, and a folder of pretrained weights is whole."""
    if model.kind == "own":
        imported(model.params["path"], root)
    elif model.params.get("pretrained"):
        place(model.params["pretrained"], root)
