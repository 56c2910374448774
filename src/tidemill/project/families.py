"""Which family trains the models of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.domain.dataset import Task
    from tidemill.ports import ModelFamily


def family_of(task: Task) -> ModelFamily:
    """The family that trains models for `task`."""
    match task:
        case "image":
            from tidemill.backends.families.image import ImageFamily

            return ImageFamily()
        case "text":
            from tidemill.backends.families.text import TextFamily

            return TextFamily()
        case "tabular":
            from tidemill.backends.families.tabular import TabularFamily

            return TabularFamily()
