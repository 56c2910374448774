"""The choices of the group `data`: what the project's conf/data and the packaged one say about a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.dataset.source import Pictures

_LARGEST_SIDE = 224


def new_choice(layout: Layout, name: str, pictures: Pictures | None) -> dict[Path, bytes]:
    """The configuration's choice `data=NAME`, conf/data/NAME.yaml, unless the project has it.

    Pictures are read at their median size, 224 pixels at most.
    """
    from tidemill.config.groups import PACKAGED

    file = layout.conf / "data" / f"{name}.yaml"
    if file.exists() or (PACKAGED / "data" / file.name).exists():
        return {}
    lines = [f"# Chosen with  tidemill train data={name}", f"name: {json.dumps(name)}", "version: latest"]
    if pictures is not None:
        scale = min(1.0, _LARGEST_SIDE / max(pictures.height, pictures.width))
        lines += [
            "image:",
            f"  height: {max(1, round(pictures.height * scale))}",
            f"  width: {max(1, round(pictures.width * scale))}",
            f"  mode: {'L' if pictures.grey else 'RGB'}",
        ]
    return {file: ("\n".join(lines) + "\n").encode()}
