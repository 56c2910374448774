"""What runs the training as steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Stage(NamedTuple):
    """A step of the training as an orchestrator sees it.

    `arguments` of `tidemill` do it in the project's folder, `needs` are the stages before it. `sections` are the parts
    of the configuration that it depends on, `deps` files and folders of the project.
    """

    name: str
    about: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...]
    sections: tuple[str, ...]
    deps: tuple[str, ...]


class PipelineForm(Protocol):
    """Writes the training in the form of an orchestrator, which runs it by itself."""

    def write(self, stages: Sequence[Stage], params: Mapping[str, Any], path: Path) -> None:
        """`params` are the settings that are to be parameters, by dotted path. Raises MissingExtraError."""


class PipelineRunner(Protocol):
    """Has the stages done in this process, and shows them where its users look."""

    def run(self, name: str, stages: Sequence[Stage], do: Callable[[str], str]) -> None:
        """`do` does the stage of that name, and says what came of it. Raises MissingExtraError, and what it raises."""
