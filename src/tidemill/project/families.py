"""Which family trains the models of a task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.domain.dataset import Task
    from tidemill.ports import ModelFamily


def family_of(task: Task, root: Path = Path()) -> ModelFamily:
    """The family that trains models for `task`; `root` is the project that holds own models and pretrained weights."""
    match task:
        case "image":
            from tidemill.backends.families.image import ImageFamily

            return ImageFamily(root)
        case "text":
            from tidemill.backends.families.text import TextFamily

            return TextFamily(root)
        case "tabular":
            from tidemill.backends.families.tabular import TabularFamily

            return TabularFamily(root)
